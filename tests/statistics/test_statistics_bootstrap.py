"""The bootstrap over groups: agrees with the cluster-robust standard error, keeps groups whole, covers."""

import numpy as np
import pytest

from nas.statistics import bootstrap, intervals
from nas.statistics.groups import codes, group_sums
from search_spaces.errors import InputError


def clustered(rng, groups=60, size=5, between=1.0):
    code = np.repeat(np.arange(groups), size)
    return rng.normal(0, between, groups)[code] + rng.normal(0, 1, groups * size), code


def test_width_equals_the_cluster_robust_interval():
    values, code = clustered(np.random.default_rng(0))
    drawn = bootstrap.mean_interval(values, code, rng=np.random.default_rng(1), draws=4_000)
    analytic = intervals.mean(values, code)
    assert drawn.high - drawn.low == pytest.approx(analytic.high - analytic.low, rel=0.06)
    ignoring = intervals.mean(values)
    assert drawn.high - drawn.low > 1.5 * (ignoring.high - ignoring.low)


def test_sums_and_weights_give_the_same_statistic():
    values, code = clustered(np.random.default_rng(2))
    sums = group_sums(np.stack([values, np.ones_like(values)], 1), code, 60)
    by_sums = bootstrap.from_sums(sums, lambda t: t[:, 0] / t[:, 1], rng=np.random.default_rng(3), draws=50)
    by_weights = bootstrap.from_weights(
        lambda w: float(np.average(values, weights=w)), code, len(values), rng=np.random.default_rng(3), draws=50
    )
    np.testing.assert_allclose(by_sums, by_weights)


def test_mean_covers_between_93_and_97_percent():
    rng, hits = np.random.default_rng(4), 0
    for _ in range(2_000):
        values, code = clustered(rng, groups=40, size=3)
        found = bootstrap.mean_interval(values, code, rng=rng, draws=400)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 2_000 <= 0.97


def test_two_way_is_wide_enough_for_crossed_effects():
    """Receivers × donors: the interval must cover where both carry noise; a one-way bootstrap would not."""
    rng, hits, narrow = np.random.default_rng(5), 0, 0
    row, column = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(12), indexing="ij"))
    for _ in range(300):
        values = rng.normal(0, 1, 40)[row] + rng.normal(0, 1, 12)[column] + rng.normal(0, 1, len(row))
        found = bootstrap.two_way_mean_interval(values, row, column, rng=rng, draws=300)
        one_way = bootstrap.mean_interval(values, row, rng=rng, draws=300)
        hits += found.low <= 0 <= found.high
        narrow += one_way.low <= 0 <= one_way.high
    assert hits / 300 > 0.92
    assert narrow / 300 < 0.8


def test_undefined_draws_and_too_few_groups():
    assert bootstrap.interval([np.nan] * 9 + [1.0], 10) is None
    with pytest.raises(InputError, match="at least 2 groups"):
        bootstrap.group_weights(1, 10, np.random.default_rng(0))


def test_codes_are_by_value_whatever_the_type():
    by_text, n_text = codes(np.array(["b", "a", "b"]), 3)
    by_number, n_number = codes(np.array([7, 3, 7]), 3)
    assert (by_text.tolist(), n_text) == (by_number.tolist(), n_number) == ([1, 0, 1], 2)
