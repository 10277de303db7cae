"""Bootstrap over groups: whole groups are drawn with replacement, so that related images stay together.

The statistic is computed for all draws at once, from sums within groups (a ratio, a confusion matrix, a binned curve) or from
the groups' weights (a rank statistic). The percentiles are widened for a finite number of groups
(Hesterberg 2015, "expanded percentile"), since the plain percentile interval is too narrow by √((G−1)/G)·z/t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from nas.records import Interval
from nas.statistics.groups import Floats
from search_spaces.errors import InputError

DRAWS = 1_000
CHUNK = 4_000_000  # weights held at a time: 32 MB


def group_weights(n_groups: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each group is drawn, multinomial, float64 (draws, n_groups)."""
    if n_groups < 2:
        raise InputError(f"a bootstrap over groups needs at least 2 groups, but got {n_groups}; give more images")
    cells = rng.integers(0, n_groups, (draws, n_groups)) + np.arange(draws)[:, None] * n_groups
    return np.bincount(cells.ravel(), minlength=draws * n_groups).reshape(draws, n_groups).astype(np.float64)


def by_chunks(statistic: Callable[[Floats], Floats], n_groups: int, draws: int, rng: np.random.Generator) -> Floats:
    """A statistic of group weights, (some draws, n_groups) → (some draws, …), for all draws in bounded memory."""
    at_a_time = max(1, CHUNK // n_groups)
    sizes = [min(at_a_time, draws - start) for start in range(0, draws, at_a_time)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([statistic(group_weights(n_groups, size, rng)) for size in sizes])


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
    return by_chunks(lambda weights: statistic(weights @ array), len(array), draws, rng)


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
