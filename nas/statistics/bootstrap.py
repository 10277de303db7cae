"""Bootstrap over groups: whole groups are drawn with replacement, so that related images stay together.

The statistic is computed for all draws at once, from sums within groups (a ratio, a confusion matrix, a binned curve) or
from weights of rows (a rank statistic). The percentiles are widened for a finite number of groups
(Hesterberg 2015, "expanded percentile"), since the plain percentile interval is too narrow by √((G−1)/G)·z/t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from nas.records import Interval
from nas.statistics.groups import Floats, Groups, codes, group_sums
from search_spaces.errors import InputError

DRAWS = 1_000


def group_weights(n_groups: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each group is drawn, multinomial, float64 (draws, n_groups)."""
    if n_groups < 2:
        raise InputError(f"a bootstrap over groups needs at least 2 groups, but got {n_groups}; give more images")
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(np.float64)


def from_sums(
    sums: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Floats:
    """Bootstrap draws of a statistic of sums.

    Args:
        sums: (G, k), k sums within each of G groups (:func:`nas.statistics.groups.group_sums`).
        statistic: maps total sums (draws, k) to values (draws,) or (draws, m).

    Returns:
        The statistic of each draw; NaN where a draw does not define it (a class that was not drawn).
    """
    array = np.asarray(sums, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return statistic(group_weights(len(array), draws, rng) @ array)


def from_weights(
    statistic: Callable[[Floats], float],
    groups: Groups,
    n: int,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    second_groups: Groups = None,
) -> Floats:
    """Bootstrap draws of any statistic of row weights.

    Args:
        statistic: maps weights (n,), how often each row counts, to a value.
        second_groups: a second, crossed grouping (donor, source): weights are multiplied, which is the pigeonhole
            bootstrap of Owen (2007); it errs on the wide side.
    """
    code, n_groups = codes(groups, n)
    weights = group_weights(n_groups, draws, rng)
    if second_groups is None:
        return np.array([statistic(row[code]) for row in weights], dtype=np.float64)
    second, n_second = codes(second_groups, n)
    others = group_weights(n_second, draws, rng)
    return np.array([statistic(row[code] * other[second]) for row, other in zip(weights, others, strict=True)])


def interval(values: ArrayLike, n_groups: float, level: float = 0.95, method: str = "cluster bootstrap") -> Interval | None:
    """Expanded percentile interval of bootstrap draws (NaN draws left out); ``None`` where under half are defined.

    ``n_groups`` sets the expansion: for a mean over classes, :func:`nas.statistics.groups.effective_groups` of them.
    """
    array = np.asarray(values, dtype=np.float64)
    defined = array[np.isfinite(array)]
    if len(defined) < max(2, len(array) / 2):
        return None
    tail = expanded_tail(n_groups, level)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high), level=level, method=method)


def expanded_tail(n_groups: float, level: float = 0.95) -> float:
    """Lower tail probability that gives a percentile interval the width of a t interval on ``n_groups`` groups."""
    quantile = special.stdtrit(n_groups - 1, (1 - level) / 2)
    return float(special.ndtr(quantile * np.sqrt(n_groups / (n_groups - 1))))


def mean_interval(
    values: ArrayLike,
    groups: Groups = None,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval | None:
    """Bootstrap interval of the mean of ``values`` (n,), drawing whole groups."""
    array = np.asarray(values, dtype=np.float64)
    code, n_groups = codes(groups, len(array))
    sums = group_sums(np.stack([array, np.ones_like(array)], axis=1), code, n_groups)
    return interval(from_sums(sums, lambda total: total[:, 0] / total[:, 1], rng=rng, draws=draws), n_groups, level)


def two_way_mean_interval(
    values: ArrayLike,
    first: Groups,
    second: Groups,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval | None:
    """Interval of a mean over two crossed groupings, for example receivers × donors of a background swap.

    Vectorised pigeonhole bootstrap: total = Σ wᵢ vⱼ xᵢⱼ over a table of cell sums (first × second).
    """
    array = np.asarray(values, dtype=np.float64)
    row, n_rows = codes(first, len(array))
    column, n_columns = codes(second, len(array))
    table, counts = np.zeros((n_rows, n_columns)), np.zeros((n_rows, n_columns))
    np.add.at(table, (row, column), array)
    np.add.at(counts, (row, column), 1.0)
    weights, others = group_weights(n_rows, draws, rng), group_weights(n_columns, draws, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = ((weights @ table) * others).sum(axis=1) / ((weights @ counts) * others).sum(axis=1)
    return interval(means, min(n_rows, n_columns), level, "two-way cluster bootstrap")
