"""Groups (patients, duplicate clusters) as integer codes, and sums over them: what every interval here rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Groups = Sequence[Any] | NDArray[Any] | None


def codes(groups: Groups, n: int) -> tuple[Integers, int]:
    """Integer code of each row's group, int64 (n,), and the number of groups; ``None`` makes every row a group of its own."""
    if groups is None:
        return np.arange(n, dtype=np.int64), n
    if len(groups) != n:
        raise InputError(f"groups has {len(groups)} rows for {n} values; give one group for each value")
    array = np.asarray(groups)
    if array.dtype.kind in "iu" and n and array.min() >= 0 and array.max() < 4 * n:  # codes already: no sort of strings
        present, inverse = np.unique(array, return_inverse=True)
    else:
        present, inverse = np.unique(array.astype(np.str_), return_inverse=True)
    return inverse.astype(np.int64).reshape(n), len(present)


def group_sums(values: ArrayLike, code: Integers, n_groups: int) -> Floats:
    """Sum of ``values``, (n,) or (n, k), within each group → (n_groups,) or (n_groups, k)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        return np.bincount(code, weights=array, minlength=n_groups).astype(np.float64)
    sums = np.zeros((n_groups, array.shape[1]))
    np.add.at(sums, code, array)
    return sums


def effective_groups(counts: ArrayLike) -> float:
    """Groups behind a mean over strata (classes), given groups per stratum: 1 + Welch–Satterthwaite's degrees of freedom.

    A mean over 12 groups of one class and 38 of another knows its own error no better than some 20 groups would.
    """
    present = np.asarray(counts, dtype=np.float64)
    present = present[present > 0]
    if len(present) == 0 or present.min() <= 1:
        return float(max(2.0, present.min(initial=0.0) + 1))
    variances = 1 / present
    return float(1 + variances.sum() ** 2 / (variances**2 / (present - 1)).sum())


def groups_per_class(labels: ArrayLike, code: Integers) -> Integers:
    """Number of groups that hold images of each class that occurs, in the classes' order."""
    truth = np.asarray(labels)
    return np.array([len(np.unique(code[truth == name])) for name in np.unique(truth)], dtype=np.int64)
