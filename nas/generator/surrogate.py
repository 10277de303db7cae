"""The surrogate: a Gaussian process whose kernel is a sum of squared-exponential kernels, one per part of the representation.

    k(x, x') = Σ_p a_p exp(−½ Σ_f w_pf (φ_pf(x) − φ_pf(x'))²),      y = g(x) + ε,   ε ~ N(0, s² + τ · known variance)

Amplitudes a_p, weights w_pf, the unknown noise s² and the factor τ have log-normal priors and are set to their maximum a
posteriori (L-BFGS, analytic gradient). τ is there because networks are judged on the same images: the standard error over
images that each score carries overstates by how much two scores may differ by chance; by how much, the data tell. Every fit starts from the priors' means, so that a fit depends on its data alone and a resumed
search goes on as the first one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import ndtri

from nas.generator.columns import Array
from nas.generator.representation import NOISE, Part

JITTER = 1e-8
SHARED = 0.3  # prior median of τ
Inputs = Sequence[Array]  # one (n, columns) per part


def rank_normal(values: Array, standard_errors: Array) -> tuple[Array, Array]:
    """Normal scores of the ranks, and what each value's standard error is on that scale.

    Args:
        values: float64 (n,), the larger the better.
        standard_errors: float64 (n,), 0 where none is known.

    Returns:
        Scores (n,) and variances (n,); a variance is the squared half width of the scores that value ± error would get.
    """
    n = len(values)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # ties share the mean of theirs
    scores = ndtri((ranks - 0.5) / n)
    if not standard_errors.any():
        return scores, np.zeros(n)
    order = np.argsort(values, kind="stable")
    x, z = values[order], scores[order]
    slopes = (np.interp(values + standard_errors, x, z) - np.interp(values - standard_errors, x, z)) / 2
    clipped = (np.minimum(values + standard_errors, x[-1]) - np.maximum(values - standard_errors, x[0])) / 2
    stretch = np.where(clipped > 0, standard_errors / np.where(clipped > 0, clipped, 1.0), 1.0)  # beyond the extremes
    return scores, np.minimum(slopes * stretch, 2.0) ** 2


@dataclass(frozen=True)
class Scaled:
    """One part's columns, float64 (n, columns), such that squared distances are on the kernel's scale; and half their squares."""

    columns: Array
    half_squares: Array

    @classmethod
    def of(cls, columns: Array) -> Scaled:
        """With their squares."""
        return cls(columns, 0.5 * np.einsum("ij,ij->i", columns, columns))

    def exponential(self, other: Scaled) -> Array:
        """exp(−½ squared distance), float64 (n, m)."""
        exponent = self.columns @ other.columns.T
        exponent -= self.half_squares[:, None]
        exponent -= other.half_squares
        return np.exp(np.minimum(exponent, 0.0, out=exponent), out=exponent)

    def __add__(self, other: Scaled) -> Scaled:
        """These rows, and the other's below."""
        columns = np.concatenate([self.columns, other.columns])
        return Scaled(columns, np.concatenate([self.half_squares, other.half_squares]))


class Surrogate:
    """Sum of kernels over parts with learnt amplitudes, weights and noise.

    Args:
        parts: one kernel each; ``fit`` and ``Posterior`` take one array of columns for each.
        noise: prior median of the unknown noise's variance; scores have variance one.
    """

    def __init__(self, parts: Sequence[Part], noise: float = NOISE) -> None:
        self.parts = tuple(parts)
        self._slices: list[slice] = []
        mean: list[Array] = []
        sd: list[Array] = []
        for part in self.parts:
            start = sum(len(values) for values in mean) + 1
            mean += [np.array([-np.log(len(self.parts))]), part.mean]
            sd += [np.ones(1), part.sd]
            self._slices.append(slice(start, start + len(part.mean)))
        self.prior_mean = np.concatenate([*mean, [np.log(SHARED), np.log(noise)]])
        self.prior_sd = np.concatenate([*sd, [1.0, 1.0]])
        self.parameters = self.prior_mean.copy()

    def noise_of(self, variances: Array) -> Array:
        """float64 (n,): the variance of ε, given the known variances."""
        return np.exp(self.parameters[-1]) + np.exp(self.parameters[-2]) * variances + JITTER

    @property
    def amplitudes(self) -> dict[str, float]:
        """Variance that each part explains a priori."""
        return {
            part.name: float(np.exp(self.parameters[s.start - 1])) for part, s in zip(self.parts, self._slices, strict=True)
        }

    @property
    def variance(self) -> float:
        """Prior variance of g."""
        return sum(self.amplitudes.values())

    def weights(self, name: str) -> Array:
        """float64 (columns,): the weights of a part's columns."""
        part, where = next((p, s) for p, s in zip(self.parts, self._slices, strict=True) if p.name == name)
        return np.exp(part.tie @ self.parameters[where])

    def kernel(self, first: Inputs, second: Inputs) -> Array:
        """float64 (n, m)."""
        return self.kernel_of_scaled(self.scale(first), self.scale(second))

    def scale(self, inputs: Inputs) -> tuple[Scaled, ...]:
        """Columns times the roots of their weights: what the kernel of many points is computed from again and again."""
        weights = [0.5 * (part.tie @ self.parameters[where]) for part, where in zip(self.parts, self._slices, strict=True)]
        return tuple(Scaled.of(x * np.exp(root)) for x, root in zip(inputs, weights, strict=True))

    def kernel_of_scaled(self, first: Sequence[Scaled], second: Sequence[Scaled]) -> Array:
        """float64 (n, m), of what ``scale`` gave."""
        total = np.zeros((len(first[0].columns), len(second[0].columns)))
        for amplitude, a, b in zip(self.amplitudes.values(), first, second, strict=True):
            part = a.exponential(b)
            total += np.multiply(part, amplitude, out=part)
        return total

    def fit(self, inputs: Inputs, scores: Array, variances: Array, iterations: int = 40) -> None:
        """Set the parameters to their maximum a posteriori, starting from the priors' means."""
        from scipy.optimize import minimize  # a quarter of a second, which a search's start need not wait for

        squares = [x * x for x in inputs]
        result = minimize(
            self._loss,
            self.prior_mean,
            args=(inputs, squares, scores, variances),
            jac=True,
            method="L-BFGS-B",
            bounds=[(m - 12.0, m + 12.0) for m in self.prior_mean],
            options={"maxiter": iterations},
        )
        self.parameters = result.x

    def _loss(self, parameters: Array, inputs: Inputs, squares: Inputs, scores: Array, variances: Array) -> tuple[float, Array]:
        """Negative log posterior of the parameters, and its gradient."""
        n = len(scores)
        noise, known = np.exp(parameters[-1]), np.exp(parameters[-2]) * variances
        total = np.diag(noise + known + JITTER)
        kernels = []
        for part, where, x in zip(self.parts, self._slices, inputs, strict=True):
            scaled = Scaled.of(x * np.exp(0.5 * (part.tie @ parameters[where])))
            kernels.append(np.exp(parameters[where.start - 1]) * scaled.exponential(scaled))
            total += kernels[-1]
        lower = np.linalg.cholesky(total)
        inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
        solved = inverse @ scores
        deviation = (parameters - self.prior_mean) / self.prior_sd
        loss = 0.5 * (scores @ solved) + np.log(np.diag(lower)).sum() + 0.5 * (deviation @ deviation)
        gradient = deviation / self.prior_sd
        outer = inverse - np.outer(solved, solved)  # twice the derivative of the loss by the covariance
        for part, where, x, squared, kernel in zip(self.parts, self._slices, inputs, squares, kernels, strict=True):
            weighted = outer * kernel
            gradient[where.start - 1] += 0.5 * weighted.sum()
            by_column = weighted.sum(axis=1) @ squared - np.einsum("if,if->f", x, weighted @ x)
            gradient[where] -= 0.5 * (part.tie.T @ (np.exp(part.tie @ parameters[where]) * by_column))
        gradient[-1] += 0.5 * noise * np.trace(outer)
        gradient[-2] += 0.5 * (known @ np.diag(outer))
        return float(loss), gradient


class Posterior:
    """What the surrogate believes after some observations. Immutable: ``observe`` returns another one.

    Points of interest may be tracked, so that one more observation costs only one more row at them. Observations beyond the
    scores that are given are pending: ``predict`` believes that they turn out as predicted, so that they take away uncertainty
    only; ``believed`` says how.

    Args:
        surrogate: with its parameters set.
        points: columns at which predictions will be wanted, one (m, columns) per part.
    """

    def __init__(self, surrogate: Surrogate, points: Inputs) -> None:
        self.surrogate = surrogate
        self._points = surrogate.scale(points)
        self._inputs = surrogate.scale([x[:0] for x in points])
        self._noise = np.zeros(0)
        self._lower = np.zeros((0, 0))
        self._cross = np.zeros((0, len(points[0])))
        self._explained = np.zeros(len(points[0]))

    def observe(self, inputs: Inputs, variances: Array) -> Posterior:
        """With more observations, of known variance (n,) each."""
        kernel, fresh = self.surrogate.kernel_of_scaled, self.surrogate.scale(inputs)
        noise = self.surrogate.noise_of(variances)
        old = solve_triangular(self._lower, kernel(self._inputs, fresh), lower=True, check_finite=False).T  # (new, old)
        new = np.linalg.cholesky(kernel(fresh, fresh) + np.diag(noise) - old @ old.T)
        rows = solve_triangular(new, kernel(fresh, self._points) - old @ self._cross, lower=True, check_finite=False)
        more = Posterior.__new__(Posterior)
        more.surrogate, more._points = self.surrogate, self._points
        more._inputs = tuple(a + b for a, b in zip(self._inputs, fresh, strict=True))
        more._noise = np.concatenate([self._noise, noise])
        more._lower = np.block([[self._lower, np.zeros(old.T.shape)], [old, new]])
        more._cross = np.concatenate([self._cross, rows])
        more._explained = self._explained + np.einsum("ij,ij->j", rows, rows)
        return more

    def predict(self, scores: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of g at the tracked points, float64 (m,) each, given the first observations' scores."""
        n = len(scores)
        solved = solve_triangular(self._lower[:n, :n], scores, lower=True, check_finite=False)
        return solved @ self._cross[:n], self._deviation(self._explained)

    def believed(self, scores: Array) -> Array:
        """float64 (pending,): the mean of g at the observations beyond the scores that are given."""
        n = len(scores)
        return self._lower[n:, :n] @ solve_triangular(self._lower[:n, :n], scores, lower=True, check_finite=False)

    def at(self, points: Inputs) -> Posterior:
        """The same beliefs, tracked at other points."""
        other = Posterior.__new__(Posterior)
        other.__dict__.update(self.__dict__)
        other._points = self.surrogate.scale(points)
        cross = self.surrogate.kernel_of_scaled(self._inputs, other._points)
        other._cross = solve_triangular(self._lower, cross, lower=True, check_finite=False)
        other._explained = np.einsum("ij,ij->j", other._cross, other._cross)
        return other

    def smoothed(self, scores: Array) -> Array:
        """float64 (n,): the mean of g at the observations themselves: the scores without their noise."""
        n = len(scores)
        return scores - self._noise[:n] * cho_solve((self._lower[:n, :n], True), scores, check_finite=False)

    def _deviation(self, explained: Array) -> Array:
        return np.sqrt(np.maximum(self.surrogate.variance - explained, 1e-10))
