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


Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def probe_folds(truth: NDArray[np.bool_], groups: NDArray[np.str_]) -> Folds:
    """(training rows, held-out rows) of up to five folds that keep groups together and sides mixed. Dealing takes long."""
    count = max(2, min(5, len(np.unique(groups[truth])), len(np.unique(groups[~truth]))))
    return list(StratifiedGroupKFold(count).split(truth, truth, groups))


def probe_scores(features: Floats, truth: NDArray[np.bool_], folds: Folds, penalty: float = 1.0) -> Floats:
    """Out-of-fold decision values (n,) of a balanced logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that stops early is a slightly weaker probe
        return cross_val_predict(model, features, truth, cv=folds, method="decision_function")
