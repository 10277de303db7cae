"""Values for parameters that are no decisions of the space: drawn at random, from a stream of their own."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def draw_independent(seed: int, number: int, name: str, distribution: BaseDistribution) -> Any:
    """A value of any of Optuna's distributions; the same seed, trial number and name give the same value."""
    rng = np.random.default_rng([seed, number, crc32(name.encode())])
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"parameter {name!r} has distribution {distribution!r}; give a float, int or categorical one")
    if (
        isinstance(distribution, IntDistribution) and not distribution.log
    ):  # as whole numbers: as floats, large ones are rounded
        steps = (distribution.high - distribution.low) // distribution.step
        return distribution.low + int(rng.integers(steps, endpoint=True, dtype=np.uint64)) * distribution.step
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    elif distribution.step is not None:
        steps = round((high - low) / distribution.step)
        value = low + int(rng.integers(steps + 1)) * distribution.step
    else:
        value = float(rng.uniform(low, high))
    value = min(max(value, low), high)
    return min(round(value), distribution.high) if isinstance(distribution, IntDistribution) else value
