"""The Gaussian process against numerical derivatives, brute force and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm

from nas.generator.acquisition import log_expected_improvement, log_probability_positive, scalarise
from nas.generator.representation import Part
from nas.generator.surrogate import Posterior, Surrogate, rank_normal


def two_parts() -> Surrogate:
    tied = Part("tied", np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.zeros(2), np.ones(2))
    plain = Part("plain", np.eye(2), np.full(2, -0.5), np.ones(2))
    return Surrogate([tied, plain])


def data(n: int, seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    return inputs, np.sin(inputs[0][:, 0]) + 0.3 * inputs[1][:, 1]


def test_gradient_is_that_of_the_loss() -> None:
    surrogate, (inputs, scores) = two_parts(), data(9)
    at = surrogate.prior_mean + np.random.default_rng(1).normal(size=len(surrogate.prior_mean)) * 0.5
    arguments = (inputs, [x * x for x in inputs], scores, np.linspace(0, 0.1, 9))
    numeric = approx_fprime(at, lambda parameters: surrogate._loss(parameters, *arguments)[0], 1e-6)
    np.testing.assert_allclose(surrogate._loss(at, *arguments)[1], numeric, rtol=1e-4, atol=1e-4)


def test_fit_finds_the_column_that_matters() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(60, 3))
    surrogate = Surrogate([Part("all", np.eye(3), np.zeros(3), np.ones(3))])
    surrogate.fit((columns,), np.sin(2 * columns[:, 1]), np.zeros(60))
    weights = surrogate.weights("all")
    assert weights[1] > 5 * max(weights[0], weights[2])


def test_known_noise_is_scaled_to_what_the_scores_show() -> None:
    inputs, scores = data(80)
    surrogate = two_parts()
    surrogate.fit(inputs, scores, np.full(80, 0.5))  # said to be noisy, but smooth
    assert surrogate.noise_of(np.full(1, 0.5))[0] < 0.1


def test_growing_posterior_equals_the_textbook_formula() -> None:
    surrogate, (inputs, scores) = two_parts(), data(8)
    points = data(5, seed=3)[0]
    variances = np.linspace(0.0, 0.2, 8)
    grown = Posterior(surrogate, points)
    for rows in (slice(0, 3), slice(3, 4), slice(4, 8)):
        grown = grown.observe(tuple(x[rows] for x in inputs), variances[rows])
    covariance = surrogate.kernel(inputs, inputs) + np.diag(surrogate.noise_of(variances))
    cross = surrogate.kernel(inputs, points)
    mean, deviation = grown.predict(scores)
    np.testing.assert_allclose(mean, cross.T @ np.linalg.solve(covariance, scores), atol=1e-8)
    expected = surrogate.variance - np.einsum("ij,ij->j", cross, np.linalg.solve(covariance, cross))
    np.testing.assert_allclose(deviation**2, expected, atol=1e-8)
    np.testing.assert_allclose(
        grown.smoothed(scores), surrogate.kernel(inputs, inputs) @ np.linalg.solve(covariance, scores), atol=1e-8
    )
    moved = Posterior(surrogate, tuple(x[:1] for x in inputs)).observe(inputs, variances).at(points)
    np.testing.assert_allclose(moved.predict(scores)[0], mean, atol=1e-8)


def test_pending_observations_take_away_uncertainty_only() -> None:
    surrogate, (inputs, scores) = two_parts(), data(6)
    known = Posterior(surrogate, inputs).observe(tuple(x[:4] for x in inputs), np.zeros(4))
    believed = known.observe(tuple(x[4:] for x in inputs), np.zeros(2))
    before, after = known.predict(scores[:4]), believed.predict(scores[:4])
    np.testing.assert_allclose(before[0], after[0])
    assert (after[1][4:] < before[1][4:] / 2).all()
    np.testing.assert_allclose(believed.believed(scores[:4]), before[0][4:], atol=1e-8)
    assert known.believed(scores[:4]).shape == (0,)


def test_rank_normal_scores_keep_order_and_scale_errors() -> None:
    values = np.array([3.0, 1.0, 2.0, 100.0])
    scores, variances = rank_normal(values, np.zeros(4))
    assert (np.argsort(scores) == np.argsort(values)).all()
    assert abs(scores.mean()) < 1e-12
    assert not variances.any()
    _, small = rank_normal(values, np.full(4, 0.01))
    _, large = rank_normal(values, np.full(4, 1.0))
    assert (small < large).all()
    assert (large <= 4.0).all()


def test_expected_improvement_is_exact_near_and_in_the_tail() -> None:
    z = np.array([-30.0, -8.0, -4.9, 0.0, 3.0])
    found = log_expected_improvement(z * 0.5, np.full(5, 0.5), 0.0)
    exact = np.log(0.5 * (norm.pdf(z[2:]) + z[2:] * norm.cdf(z[2:])))
    np.testing.assert_allclose(found[2:], exact, rtol=1e-6)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


def test_probability_and_scalarisation() -> None:
    assert log_probability_positive(np.array([0.0]), np.array([1.0]))[0] == pytest.approx(np.log(0.5))
    ranks = np.array([[1.0, -1.0], [-1.0, 1.0], [0.9, 0.9], [-1.0, -1.0]])
    assert int(np.argmax(scalarise(ranks, np.array([0.5, 0.5])))) == 2
