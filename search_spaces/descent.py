"""How small costs are looked for in a space too large to enumerate: by coordinate descent, or by sums where costs are additive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from typing import Any

import numpy as np

from search_spaces.space import Values

_KEPT = 10_000  # sums after each decision


def descend(
    choices: Sequence[Sequence[Any]], aim: Callable[[Values], float], starts: Iterable[Values], rng: np.random.Generator
) -> Values | None:
    """The best of the descents on ``aim`` from the ``starts``: one decision at a time, in random order, until none helps.

    Exact from any start where ``aim`` is a sum over decisions. ``None``: it was infinite wherever it was looked at.
    """
    best, least = None, inf
    for values in starts:
        value, before = aim(values), inf
        while value < before or not isfinite(before):
            before = value
            for position in rng.permutation(len(values)).tolist():
                for choice in choices[position]:
                    changed = [*values[:position], choice, *values[position + 1 :]]
                    if (figure := aim(changed)) < value:
                        values, value = changed, figure
            if not isfinite(value):
                break
        if value < least:
            best, least = values, value
    return best


def least_largest_sum(shares: Sequence[np.ndarray]) -> list[int]:
    """The place of each decision's choice that together make the largest of several sums of shares least.

    Decision by decision all sums are formed; of two sums one is dropped that the other beats twice, so that the answer is exact,
    unless more than ten thousand remain: then those go on from which the least still looks possible.

    Args:
        shares: of each decision, float64 (choices, sums).
    """
    minima = np.array([table.min(axis=0) for table in shares])
    ahead = np.cumsum(minima[::-1], axis=0)[::-1] - minima  # the least that the decisions after this one add
    sums, places = np.zeros((1, minima.shape[1])), np.zeros((1, 0), dtype=np.int64)
    for table, rest in zip(shares, ahead, strict=True):
        sums = (sums[:, None] + table).reshape(-1, sums.shape[1])
        rows = _unbeaten(sums) if sums.shape[1] == 2 else np.arange(len(sums))
        rows = rows[np.argsort((sums[rows] + rest).max(axis=1), kind="stable")[:_KEPT]]
        sums, places = sums[rows], np.column_stack([places[rows // len(table)], rows % len(table)])
    found: list[int] = places[0].tolist()
    return found


def _unbeaten(pairs: np.ndarray) -> np.ndarray:
    """Rows of float64 (n, 2) than which no other is smaller or equal in both columns."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    second = pairs[order, 1]
    unbeaten: np.ndarray = order[second < np.append(np.inf, np.minimum.accumulate(second)[:-1])]
    return unbeaten
