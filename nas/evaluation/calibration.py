"""Do predicted probabilities mean what they say: reliability curve, expected calibration error; operating points."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.statistics.groups import Floats, Integers, codes, group_sums

BINS = 10


def reliability_curve(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, list[float]]:
    """Points of a reliability diagram of the predicted class: mean confidence, share right and images of each filled bin."""
    scores = np.asarray(probabilities, dtype=np.float64)
    code, n_groups = codes(np.zeros(len(scores), dtype=np.int64), len(scores))
    totals = bin_sums(scores, np.asarray(labels), code, n_groups).reshape(BINS, 3)
    filled = totals[:, 0] > 0
    count = totals[filled, 0]
    return {
        "confidence": (totals[filled, 1] / count).tolist(),
        "accuracy": (totals[filled, 2] / count).tolist(),
        "n": count.tolist(),
    }


def bin_sums(scores: Floats, truth: NDArray[np.int64], code: Integers, n_groups: int) -> Floats:
    """Images, confidences and right answers in each confidence bin, summed within groups, (groups, 3 · BINS)."""
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    position = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    columns = np.zeros((len(truth), BINS, 3))
    columns[np.arange(len(truth)), position] = np.stack([np.ones(len(truth)), confidence, right], axis=1)
    return group_sums(columns.reshape(len(truth), -1), code, n_groups)


def calibration_error(totals: Floats) -> Floats:
    """Expected calibration error (Naeini et al. 2015) of bin totals (draws, 3 · bins): Σ share · |right − confidence|.

    Biased upward by about √(bins / n): compare models on the same images only.
    """
    parts = totals.reshape(len(totals), -1, 3)
    return np.abs(parts[:, :, 2] - parts[:, :, 1]).sum(axis=1) / parts[:, :, 0].sum(axis=1)


def sensitivity_at(scores: Floats, positive: NDArray[np.bool_], specificity: float, weights: Floats) -> Floats:
    """Largest sensitivity of any threshold with at least that specificity, for many weightings of the images.

    Args:
        scores: (n,), higher means more likely positive; an image is called positive above the threshold.
        positive: (n,) truth.
        weights: (draws, n), how often each image counts.

    Returns:
        (draws,); NaN where a draw has no positives or no negatives.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, truth = scores[order], positive[order]
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    found = np.empty(len(weights))
    for row, weight in enumerate(weights[:, order]):
        hits, alarms = np.cumsum(weight * truth), np.cumsum(weight * ~truth)
        if hits[-1] == 0 or alarms[-1] == 0:
            found[row] = np.nan
            continue
        allowed = last_of_tie & (alarms <= (1 - specificity) * alarms[-1] + 1e-9)
        found[row] = hits[allowed].max(initial=0.0) / hits[-1]
    return found


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> dict[str, list[float]]:
    """Points of the ROC curve, from (0, 0) to (1, 1), one for each distinct score."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive).astype(bool)
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.append(np.diff(values[order]) != 0, True)
    hits, alarms = np.cumsum(truth[order])[last_of_tie], np.cumsum(~truth[order])[last_of_tie]
    return {
        "false_positive_rate": [0.0, *(alarms / max(1, alarms[-1])).tolist()],
        "true_positive_rate": [0.0, *(hits / max(1, hits[-1])).tolist()],
    }
