"""AUCs under weights, many weightings at once: bootstraps over groups and re-weighted populations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.inquisitor.effects import Effect
from nas.statistics.bootstrap import group_weights
from nas.statistics.groups import codes

Floats = NDArray[np.float64]


def weighted_auc(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUC for every row of weights, (rows,) from (rows, n); ties count half; NaN where a side has no weight."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # one run for each distinct score
    sorted_weights, sorted_truth = weights[:, order], truth[order]
    positive = np.add.reduceat(sorted_weights * sorted_truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~sorted_truth, starts, axis=1)
    below = negative.cumsum(axis=1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def bootstrap_rows(groups: NDArray[np.str_], rng: np.random.Generator, draws: int) -> Floats:
    """Weights of images when whole groups are drawn, float (1 + draws, n); the first row is the sample itself."""
    code, count = codes(groups, len(groups))
    return np.concatenate([np.ones((1, len(groups))), group_weights(count, draws, rng)[:, code]])


def bootstrapped(values: Floats, groups: int) -> Effect:
    """An effect from a statistic on the sample (first value) and on draws; draws that do not define it are left out."""
    drawn = values[1:][np.isfinite(values[1:])]
    return Effect(float(values[0]), float(drawn.std(ddof=1)), max(groups - 1, 1))
