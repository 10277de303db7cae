"""Areas under ROC curves: estimate, variance that respects groups (DeLong 1988; Obuchowski 1997), paired comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nas.records import Interval
from nas.statistics.groups import Floats, Groups, codes, group_sums
from nas.statistics.intervals import logit_interval, t_interval
from search_spaces.errors import InputError


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Raises:
        InputError: one of the two classes is absent.
    """
    return float(_placements(np.asarray(scores, dtype=np.float64), _two_classes(positive))[2])


@dataclass(frozen=True)
class AreaEstimate:
    """An area with its standard error and degrees of freedom (groups that carry information, minus 1)."""

    area: float
    standard_error: float
    freedom: int
    positive_groups: int
    negative_groups: int


def auc_estimate(scores: ArrayLike, positive: ArrayLike, groups: Groups = None) -> AreaEstimate:
    """Area and its cluster-robust standard error: the influence of every image, summed within its group."""
    truth = _two_classes(positive)
    area, influence, n_groups = _influences(np.asarray(scores, dtype=np.float64)[None], truth, groups)
    sides = _groups_by_side(truth, groups)
    error = float(np.sqrt(_covariance(influence, n_groups)[0, 0]))
    return AreaEstimate(float(area[0]), error, max(1, min(n_groups - 1, 2 * min(sides) - 1)), *sides)


def auc_interval(scores: ArrayLike, positive: ArrayLike, groups: Groups = None, level: float = 0.95) -> Interval:
    """Interval of an area, symmetric on the logit scale; at an area of exactly 0 or 1 an exact bound replaces it.

    Perfect separation shows no variance; the bound then is the exact binomial one on the smaller side's groups
    (zero misplaced out of so many), which errs on the wide side.
    """
    estimate = auc_estimate(scores, positive, groups)
    if estimate.standard_error == 0 or not 0 < estimate.area < 1:
        return _separated(estimate, level)
    method = "delong, logit, cluster-robust" if groups is not None else "delong, logit"
    return logit_interval(estimate.area, estimate.standard_error, estimate.freedom, level, method)


def macro_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean one-vs-rest area over the classes (columns of ``probabilities``, (n, classes)) that have both sides."""
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    areas = [auc(scores[:, c], truth == c) for c in range(scores.shape[1]) if 0 < (truth == c).sum() < len(truth)]
    if not areas:
        raise InputError("an area under the ROC curve needs images of at least two classes, but got one")
    return float(np.mean(areas))


def macro_auc_interval(probabilities: ArrayLike, labels: ArrayLike, groups: Groups = None, level: float = 0.95) -> Interval:
    """Interval of the macro one-vs-rest area: influences of the classes averaged before they are summed within groups."""
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    area, n_groups, freedom = 0.0, 0, 1
    influence: Floats = np.zeros((1, 1))
    present = [c for c in range(scores.shape[1]) if 0 < (truth == c).sum() < len(truth)]
    for c in present:
        one, contribution, n_groups = _influences(scores[None, :, c], truth == c, groups)
        area, influence = area + float(one[0]) / len(present), influence + contribution / len(present)
        freedom = max(freedom, min(_groups_by_side(truth == c, groups)))
    error = float(np.sqrt(_covariance(influence, n_groups)[0, 0])) if present else 0.0
    if error == 0 or not 0 < area < 1:
        worst = min((auc_estimate(scores[:, c], truth == c, groups) for c in present), key=lambda e: e.freedom)
        return _separated(worst, level)
    return logit_interval(area, error, min(n_groups - 1, 2 * freedom), level, "delong, logit, cluster-robust, macro")


@dataclass(frozen=True)
class AreaDifference:
    """Difference of two areas on the same images (first − second)."""

    difference: float
    interval: Interval
    p_value: float


def compare_auc(
    first: ArrayLike, second: ArrayLike, positive: ArrayLike, groups: Groups = None, level: float = 0.95
) -> AreaDifference:
    """Paired test of two models' areas on the same images (DeLong's; with groups, its clustered form)."""
    truth = _two_classes(positive)
    both = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    areas, influence, n_groups = _influences(both, truth, groups)
    return _difference(areas, influence, n_groups, level, "paired delong" + _clustered(groups))


def compare_macro_auc(
    first: ArrayLike, second: ArrayLike, labels: ArrayLike, groups: Groups = None, level: float = 0.95
) -> AreaDifference:
    """As :func:`compare_auc`, of two models' macro one-vs-rest areas, from their probabilities (n, classes)."""
    both, truth = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)]), np.asarray(labels)
    present = [c for c in range(both.shape[2]) if 0 < (truth == c).sum() < len(truth)]
    if not present:
        raise InputError("an area under the ROC curve needs images of at least two classes, but got one")
    areas, influences, n_groups = zip(*(_influences(both[:, :, c], truth == c, groups) for c in present), strict=True)
    method = "paired delong, macro" + _clustered(groups)
    return _difference(np.mean(areas, axis=0), np.mean(influences, axis=0), n_groups[0], level, method)


def _difference(areas: Floats, influence: Floats, n_groups: int, level: float, method: str) -> AreaDifference:
    """First − second, from the areas (2,) and each group's influence on them (2, G)."""
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(_covariance((influence[0] - influence[1])[None], n_groups)[0, 0]))
    interval = t_interval(difference, error, n_groups - 1, level, method)
    if error == 0:
        return AreaDifference(difference, interval, 1.0 if difference == 0 else 0.0)
    return AreaDifference(difference, interval, float(2 * special.stdtr(n_groups - 1, -abs(difference) / error)))


def _clustered(groups: Groups) -> str:
    return ", cluster-robust" if groups is not None else ""


def _placements(scores: Floats, truth: np.ndarray) -> tuple[Floats, Floats, float]:
    """Share of negatives below each positive (m,), share of positives above each negative (n,), and the area."""
    positives, negatives = scores[truth], scores[~truth]
    m, n = len(positives), len(negatives)
    ranks = midranks(np.concatenate([positives, negatives]))
    above = (ranks[:m] - midranks(positives)) / n
    below = 1 - (ranks[m:] - midranks(negatives)) / m
    return above, below, float(above.mean())


def weighted_auc(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """Area for every row of weights, (rows,) from (rows, n); ties count half; NaN where a side has no weight."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # one run for each distinct score
    sorted_weights, sorted_truth = weights[:, order], truth[order]
    positive = np.add.reduceat(sorted_weights * sorted_truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~sorted_truth, starts, axis=1)
    below = negative.cumsum(axis=1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def midranks(values: ArrayLike) -> Floats:
    """Ranks from 1, ties sharing their mean rank; several times faster than the general function on small arrays."""
    array = np.asarray(values, dtype=np.float64)
    order = np.argsort(array, kind="stable")
    ordered = array[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    ends = np.append(starts[1:], len(array))
    ranks = np.empty(len(array))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def _influences(scores: Floats, truth: np.ndarray, groups: Groups) -> tuple[Floats, Floats, int]:
    """Areas (k,), influence of each group on each area (k, G), number of groups; ``scores`` is (k, n)."""
    code, n_groups = codes(groups, scores.shape[1])
    areas, influence = np.empty(len(scores)), np.empty((len(scores), n_groups))
    m, n = int(truth.sum()), int((~truth).sum())
    for k, row in enumerate(scores):
        above, below, areas[k] = _placements(row, truth)
        each = np.empty(len(row))
        each[truth], each[~truth] = (above - areas[k]) / m, (below - areas[k]) / n
        influence[k] = group_sums(each, code, n_groups)
    if groups is None and m > 1 and n > 1:  # DeLong's own unbiased variances of the two sides
        influence[:, truth] *= np.sqrt(m / (m - 1) * (n_groups - 1) / n_groups)
        influence[:, ~truth] *= np.sqrt(n / (n - 1) * (n_groups - 1) / n_groups)
    return areas, influence, n_groups


def _covariance(influence: Floats, n_groups: int) -> Floats:
    if n_groups < 2:
        raise InputError(f"the variance of an area needs at least 2 groups, but got {n_groups}; give more images")
    return n_groups / (n_groups - 1) * influence @ influence.T


def _groups_by_side(truth: np.ndarray, groups: Groups) -> tuple[int, int]:
    code, _ = codes(groups, len(truth))
    return len(np.unique(code[truth])), len(np.unique(code[~truth]))


def _separated(estimate: AreaEstimate, level: float) -> Interval:
    """Bound for an area without visible variance: rule-of-three kind, on the side with fewer groups."""
    smaller = min(estimate.positive_groups, estimate.negative_groups)
    slack = float(1 - ((1 - level) / 2) ** (1 / smaller))
    return Interval(
        low=max(0.0, estimate.area - slack), high=min(1.0, estimate.area + slack), level=level, method="exact, separated"
    )


def _two_classes(positive: ArrayLike) -> np.ndarray:
    truth = np.asarray(positive).astype(bool)
    if truth.all() or not truth.any():
        raise InputError(f"an area under the ROC curve needs both classes, but all {len(truth)} images are of one")
    return truth
