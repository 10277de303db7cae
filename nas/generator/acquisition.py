"""What a candidate is worth: the logarithm of its expected improvement, times its chance to meet the constraints."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr

from nas.generator.columns import Array

FAR = -5.0  # standard deviations below the incumbent from which the asymptotic formula gives the logarithm to within 1 %


def log_expected_improvement(mean: Array, deviation: Array, incumbent: float) -> Array:
    """log E[max(g − incumbent, 0)] for g ~ N(mean, deviation²), float64 (n,): exact above ``FAR``, and to within 1 % in the tail."""
    z = (mean - incumbent) / deviation
    near = np.maximum(z, FAR)
    density = np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi)
    exact = np.log(np.maximum(density + near * ndtr(near), 1e-300))
    far = np.minimum(z, FAR)
    tail = -0.5 * far * far - 0.5 * np.log(2 * np.pi) - 2 * np.log(-far)  # Mills' ratio, first order
    return np.where(z > FAR, exact, tail) + np.log(deviation)


def log_probability_positive(mean: Array, deviation: Array) -> Array:
    """log P(g > 0), float64 (n,)."""
    return log_ndtr(mean / deviation)


def scalarise(ranks: Array, weights: Array) -> Array:
    """Augmented Chebyshev scalarisation (ParEGO, Knowles 2006) of scores (n, objectives), larger better → (n,)."""
    weighted = (ranks - ranks.max(axis=0)) * weights
    return weighted.min(axis=1) + 0.05 * weighted.sum(axis=1)
