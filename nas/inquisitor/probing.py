"""Small classifiers on features: what a few numbers already tell about a label."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def probe_folds(truth: NDArray[np.bool_], groups: NDArray[np.str_]) -> Folds:
    """(training rows, held-out rows) of up to five folds that keep groups together and sides mixed.

    Groups that hold rows of the class are dealt to and fro over the folds, those with rows of both sides first and large ones
    before small ones; then the others, from the last fold on. No fold takes all of a side that two groups have. (scikit-learn's
    StratifiedGroupKFold tries each group in each fold: a quarter of a whole screen.)
    """
    code = np.unique(groups, return_inverse=True)[1]
    own, other = np.bincount(code, weights=truth), np.bincount(code, weights=~truth)
    count = max(2, min(5, int(np.count_nonzero(own)), int(np.count_nonzero(other))))
    turn = np.arange(len(own)) % (2 * count)
    deal = np.minimum(turn, 2 * count - 1 - turn)
    order = np.lexsort((-other, -own, other == 0, own == 0))
    dealt = np.count_nonzero(own)
    fold = np.empty(len(own), np.int64)
    fold[order] = np.concatenate([deal[:dealt], count - 1 - deal[: len(own) - dealt]])
    held = fold[code]
    return [(np.flatnonzero(held != index), np.flatnonzero(held == index)) for index in range(count)]


def probe_scores(features: Floats, truth: NDArray[np.bool_], folds: Folds, penalty: float = 1.0) -> Floats:
    """Out-of-fold decision values (n,) of a balanced logistic regression on standardised features."""
    found = np.empty(len(truth))
    for known, asked in folds:
        mean, spread = features[known].mean(axis=0), features[known].std(axis=0)
        standardised = (features - mean) / np.where(spread > 0, spread, 1.0)
        model = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that stops early is a slightly weaker probe
            model.fit(standardised[known], truth[known])
        found[asked] = model.decision_function(standardised[asked])
    return found
