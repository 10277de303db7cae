"""Paired comparisons of two models on the same images or folds, and what may be concluded from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from nas.records import Interval
from nas.statistics import bootstrap
from nas.statistics.groups import Floats, Groups, codes, effective_groups, group_sums, groups_per_class
from nas.statistics.intervals import standard_error, t_interval
from search_spaces.errors import InputError

Conclusion = Literal["better", "worse", "within noise", "not inferior", "not compared"]


@dataclass(frozen=True)
class Difference:
    """First − second on the same images, with its interval and two-sided p-value; ``test`` names the method."""

    difference: float
    interval: Interval | None
    p_value: float
    test: str


def mcnemar(first_correct: ArrayLike, second_correct: ArrayLike) -> float:
    """Exact two-sided McNemar test: a sign test on the images where just one of the two models is right.

    Assumes independent images: give one image per group, or take :func:`clustered_mcnemar`.
    """
    first, second = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def clustered_mcnemar(first_correct: ArrayLike, second_correct: ArrayLike, groups: Groups) -> float:
    """McNemar's test for grouped images (Durkalski et al. 2003): χ² = (Σ (b−c)/m)² / Σ ((b−c)/m)², m = images of a group."""
    first, second = np.asarray(first_correct, dtype=np.float64), np.asarray(second_correct, dtype=np.float64)
    code, n_groups = codes(groups, len(first))
    each = group_sums(first - second, code, n_groups) / np.bincount(code, minlength=n_groups)
    square = float((each**2).sum())
    return 1.0 if square == 0 else float(special.chdtrc(1, float(each.sum()) ** 2 / square))


def mean_difference(first: ArrayLike, second: ArrayLike, groups: Groups = None, level: float = 0.95) -> Difference:
    """Difference of means of a figure per image (being right, log-loss): cluster-robust t interval and test."""
    values = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    estimate = float(values.mean())
    error, freedom = standard_error(values, groups)
    method = "paired t, cluster-robust" if groups is not None else "paired t"
    return Difference(estimate, t_interval(estimate, error, freedom, level, method), t_test(estimate, error, freedom), method)


def bootstrap_difference(
    sums: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    draws: int = 2_000,
    level: float = 0.95,
    n_groups: float | None = None,
) -> Difference:
    """Difference of any two figures that are functions of sums, by drawing whole groups.

    Args:
        sums: (G, k): sums within groups for both models side by side.
        statistic: maps totals (draws, k) to first − second, (draws,).
        n_groups: groups that the widening of the interval goes by; all by default.

    The p-value is that of the bootstrap distribution moved to a difference of 0.
    """
    array = np.asarray(sums, dtype=np.float64)
    observed = float(statistic(array.sum(axis=0, keepdims=True))[0])
    values = bootstrap.from_sums(array, statistic, rng=rng, draws=draws)
    interval = bootstrap.interval(values, n_groups or len(array), level)
    defined = values[np.isfinite(values)]
    extreme = int((np.abs(defined - observed) >= abs(observed) - 1e-12).sum())
    return Difference(observed, interval, (1 + extreme) / (1 + len(defined)), "cluster bootstrap")


def balanced_accuracy_difference(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    groups: Groups = None,
    *,
    rng: np.random.Generator,
    draws: int = 2_000,
    level: float = 0.95,
) -> Difference:
    """Difference of balanced accuracies of two models' predicted classes (n,) on the same images."""
    truth = np.asarray(labels)
    present = np.unique(truth)
    one_hot = (truth[:, None] == present).astype(np.float64)
    right = (np.asarray(first) == truth).astype(np.float64) - (np.asarray(second) == truth).astype(np.float64)
    code, n_groups = codes(groups, len(truth))
    sums = group_sums(np.concatenate([one_hot * right[:, None], one_hot], axis=1), code, n_groups)
    k = len(present)
    if k > n_classes:
        raise InputError(f"labels hold {k} classes, but the models know {n_classes}")
    known = effective_groups(groups_per_class(truth, code))
    return bootstrap_difference(
        sums, lambda t: (t[:, :k] / t[:, k:]).mean(axis=1), rng=rng, draws=draws, level=level, n_groups=known
    )


def nadeau_bengio(differences: ArrayLike, test_share: float, level: float = 0.95) -> Difference:
    """Corrected resampled t-test over folds × repeats (Nadeau & Bengio 2003).

    Args:
        differences: (J,), first − second on each fold.
        test_share: test images / training images of a fold (k folds: 1 / (k − 1)); folds share training images, so the
            variance of the mean is taken as (1/J + test_share) · s², not s²/J.
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if count < 2:
        raise InputError(f"a test over folds needs at least 2 folds, but got {count}")
    if test_share <= 0:
        raise InputError(f"test_share is test images / training images, above 0, but got {test_share}")
    estimate = float(values.mean())
    error = float(np.sqrt((1 / count + test_share) * values.var(ddof=1)))
    interval = t_interval(estimate, error, count - 1, level, "nadeau-bengio corrected t")
    return Difference(estimate, interval, t_test(estimate, error, count - 1), interval.method)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: reject those at most α to keep the family-wise error below α."""
    order = np.argsort(np.asarray(p_values, dtype=np.float64), kind="stable")
    adjusted, running = [0.0] * len(order), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * float(p_values[index])))
        adjusted[index] = running
    return adjusted


def non_inferior(interval: Interval, margin: float, higher_is_better: bool = True) -> bool:
    """Whether the whole interval of (first − second) lies on the good side of the margin (a positive number)."""
    if margin <= 0:
        raise InputError(f"a non-inferiority margin is a positive number, but got {margin}")
    return interval.low > -margin if higher_is_better else interval.high < margin


def conclude(
    difference: Difference | None,
    *,
    p_adjusted: float | None = None,
    alpha: float = 0.05,
    margin: float | None = None,
    higher_is_better: bool = True,
    comparable: bool = True,
) -> Conclusion:
    """The one word that a table may print about first − second.

    "better" and "worse" need the (adjusted) p-value below ``alpha`` and the interval clear of 0; else "not inferior" where
    a margin was stated beforehand and holds; else "within noise". Unequal pretraining (``comparable=False``) or
    a figure that could not be estimated is "not compared".
    """
    if difference is None or difference.interval is None or not comparable:
        return "not compared"
    p = difference.p_value if p_adjusted is None else p_adjusted
    interval = difference.interval
    if p < alpha and (interval.low > 0 or interval.high < 0):
        return "better" if (difference.difference > 0) == higher_is_better else "worse"
    if margin is not None and non_inferior(interval, margin, higher_is_better):
        return "not inferior"
    return "within noise"


def t_test(estimate: float, error: float, freedom: float) -> float:
    """Two-sided p-value of an estimate with that standard error against 0."""
    if error == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * special.stdtr(freedom, -abs(estimate) / error))
