"""Small classifiers on features: what a few numbers already tell about a label."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]


def probe_scores(features: Floats, truth: NDArray[np.bool_], groups: NDArray[np.str_], penalty: float = 1.0) -> Floats:
    """Out-of-fold decision values (n,) of a balanced logistic regression; folds keep groups together and sides mixed."""
    folds = StratifiedGroupKFold(max(2, min(5, len(np.unique(groups[truth])), len(np.unique(groups[~truth])))))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that stops early is a slightly weaker probe
        return cross_val_predict(model, features, truth, groups=groups, cv=folds, method="decision_function")
