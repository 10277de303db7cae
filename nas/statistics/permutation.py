"""Permutation tests: the null distribution made by exchanging what the null hypothesis says is exchangeable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.statistics.groups import Groups, codes

Alternative = Literal["two-sided", "greater", "less"]


def p_value(observed: float, null: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """(1 + draws at least as extreme) / (1 + draws): never 0, valid for any number of draws (Phipson & Smyth 2010).

    Two-sided: twice the smaller one-sided value, at most 1.
    """
    draws = np.asarray(null, dtype=np.float64)
    slack = 1e-12 * max(1.0, abs(observed))  # equal values must count as equal after rounding
    above = (1 + int((draws >= observed - slack).sum())) / (1 + len(draws))
    below = (1 + int((draws <= observed + slack).sum())) / (1 + len(draws))
    if alternative == "greater":
        return above
    return below if alternative == "less" else min(1.0, 2 * min(above, below))


def permuted_labels(
    labels: NDArray, rng: np.random.Generator, draws: int, *, groups: Groups = None, strata: Groups = None
) -> Iterator[NDArray]:
    """Label vectors (n,) for ``draws`` permutations.

    Args:
        groups: labels are exchanged between whole groups (each row of a group takes the label drawn for the group; a
            group's own label is its first row's). Without it, between rows.
        strata: exchange only within rows of the same stratum (class, source).
    """
    code, n_groups = codes(groups, len(labels))
    first = np.zeros(n_groups, dtype=np.int64)
    first[code[::-1]] = np.arange(len(labels))[::-1]
    stratum = codes(strata, len(labels))[0][first] if strata is not None else np.zeros(n_groups, dtype=np.int64)
    own = np.asarray(labels)[first]
    order = np.argsort(stratum, kind="stable")
    for _ in range(draws):
        shuffled = np.lexsort((rng.random(n_groups), stratum))
        drawn = np.empty_like(own)
        drawn[order] = own[shuffled]
        yield drawn[code]
