"""The bootstrap over groups: agrees with the cluster-robust standard error, keeps groups whole, covers."""

import numpy as np
import pytest

from nas.statistics import bootstrap, intervals
from nas.statistics.groups import codes, group_sums
from search_spaces.errors import InputError


def clustered(rng, groups=60, size=5, between=1.0):
    code = np.repeat(np.arange(groups), size)
    return rng.normal(0, between, groups)[code] + rng.normal(0, 1, groups * size), code


def mean_interval(values, code, rng, draws):
    groups = code.max() + 1
    sums = group_sums(np.stack([values, np.ones_like(values)], 1), code, groups)
    return bootstrap.interval(bootstrap.from_sums(sums, lambda t: t[:, 0] / t[:, 1], rng=rng, draws=draws), groups)


def test_width_equals_the_cluster_robust_interval():
    values, code = clustered(np.random.default_rng(0))
    drawn = mean_interval(values, code, np.random.default_rng(1), 4_000)
    analytic = intervals.mean(values, code)
    assert drawn.high - drawn.low == pytest.approx(analytic.high - analytic.low, rel=0.06)
    ignoring = intervals.mean(values)
    assert drawn.high - drawn.low > 1.5 * (ignoring.high - ignoring.low)


def test_mean_covers_between_93_and_97_percent():
    rng, hits = np.random.default_rng(4), 0
    for _ in range(2_000):
        values, code = clustered(rng, groups=40, size=3)
        found = mean_interval(values, code, rng, 400)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 2_000 <= 0.97


def test_undefined_draws_and_too_few_groups():
    assert bootstrap.interval([np.nan] * 9 + [1.0], 10) is None
    with pytest.raises(InputError, match="at least 2 groups"):
        bootstrap.group_weights(1, 10, np.random.default_rng(0))


def test_codes_are_by_value_whatever_the_type():
    by_text, n_text = codes(np.array(["b", "a", "b"]), 3)
    by_number, n_number = codes(np.array([7, 3, 7]), 3)
    assert (by_text.tolist(), n_text) == (by_number.tolist(), n_number) == ([1, 0, 1], 2)
