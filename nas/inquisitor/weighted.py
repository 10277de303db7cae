"""Bootstraps over groups as weights of images, many weightings at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.inquisitor.effects import Effect
from nas.statistics.bootstrap import group_weights
from nas.statistics.groups import codes

Floats = NDArray[np.float64]


def bootstrap_rows(groups: NDArray[np.str_], rng: np.random.Generator, draws: int) -> Floats:
    """Weights of images when whole groups are drawn, float (1 + draws, n); the first row is the sample itself."""
    code, count = codes(groups, len(groups))
    return np.concatenate([np.ones((1, len(groups))), group_weights(count, draws, rng)[:, code]])


def bootstrapped(values: Floats, groups: int) -> Effect:
    """An effect from a statistic on the sample (first value) and on draws; draws that do not define it are left out."""
    drawn = values[1:][np.isfinite(values[1:])]
    return Effect(float(values[0]), float(drawn.std(ddof=1)), max(groups - 1, 1))
