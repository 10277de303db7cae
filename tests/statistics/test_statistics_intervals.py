"""Intervals against scipy, hand-computed figures, and simulation."""

import numpy as np
import pytest
from scipy import stats

from nas.statistics import clopper_pearson, intervals, proportion, wilson
from nas.statistics.intervals import class_mean
from search_spaces.errors import InputError


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (7, 50), (50, 50), (499, 1000)])
def test_wilson_and_clopper_pearson_equal_scipy(k, n):
    reference = stats.binomtest(k, n)
    for ours, method in ((wilson(k, n), "wilson"), (clopper_pearson(k, n), "exact")):
        low, high = reference.proportion_ci(0.95, method=method)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-10)


def test_without_groups_or_with_groups_of_one_it_is_wilson():
    hits = np.arange(60) % 3 == 0
    assert proportion(hits) == wilson(20, 60)
    assert proportion(hits, [f"patient {i}" for i in range(60)]) == wilson(20, 60)


def test_wholly_agreeing_groups_count_as_one_image_each():
    hits = np.repeat(np.arange(50) < 20, 6)
    effect = intervals.design_effect(hits, np.repeat(np.arange(50), 6))
    assert effect == pytest.approx(6, rel=1e-9)
    grouped, plain = proportion(hits, np.repeat(np.arange(50), 6)), wilson(20, 50)
    assert grouped.high - grouped.low == pytest.approx(plain.high - plain.low, rel=0.06)  # t on 58 against z


def test_all_right_in_groups_is_no_wider_knowledge_than_the_groups_give():
    grouped = proportion(np.ones(300, dtype=bool), np.repeat(np.arange(30), 10))
    assert grouped.high == 1.0
    assert grouped.low == pytest.approx(wilson(30, 30).low, abs=0.01)


def test_mean_equals_scipys_t_interval():
    values = np.random.default_rng(0).normal(2, 3, 40)
    low, high = stats.t.interval(0.95, 39, values.mean(), values.std(ddof=1) / np.sqrt(40))
    assert (intervals.mean(values).low, intervals.mean(values).high) == pytest.approx((low, high))


def test_bad_input():
    with pytest.raises(InputError, match="at least one value"):
        wilson(0, 0)
    with pytest.raises(InputError, match="between 0 and 1"):
        wilson(1, 2, level=95)
    with pytest.raises(InputError, match="one group for each value"):
        proportion([True, False], ["a"])


@pytest.mark.parametrize("n", [50, 73, 100, 200])
def test_wilson_covers_exactly_between_93_and_97_percent(n):
    """Exact coverage, summed over all outcomes; n = 50 at 0.1 and 0.9 is the one lattice point at 0.9703."""
    bounds = [wilson(k, n) for k in range(n + 1)]
    low, high = np.array([b.low for b in bounds]), np.array([b.high for b in bounds])
    for p in np.arange(0.1, 0.901, 0.02):
        covered = stats.binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum()
        assert 0.93 <= covered <= 0.9704, (n, p, covered)


def covered_share(p, agreement, sizes, rng, draws=2_000):
    """Share of beta-binomial draws whose interval covers p."""
    hits = 0
    for _ in range(draws):
        own = sizes(rng)
        chance = (
            np.full(len(own), p) if agreement == 0 else rng.beta(p / agreement - p, (1 - p) * (1 / agreement - 1), len(own))
        )
        code = np.repeat(np.arange(len(own)), own)
        found = proportion(rng.random(len(code)) < chance[code], code)
        hits += found.low <= p <= found.high
    return hits / draws


SIZES = {
    "40 groups of 1 to 3": lambda rng: rng.integers(1, 4, 40),
    "40 groups of 10": lambda rng: np.full(40, 10),
    "45 uneven groups": lambda rng: np.minimum(1 + rng.geometric(0.3, 45), 20),
    "100 uneven groups": lambda rng: np.minimum(1 + rng.geometric(0.3, 100), 20),
}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("p", "agreement"), [(0.1, 0.0), (0.1, 0.5), (0.3, 0.3), (0.5, 0.7), (0.9, 0.2)])
def test_grouped_proportions_cover_between_93_and_97_percent(sizes, p, agreement):
    share = covered_share(p, agreement, SIZES[sizes], np.random.default_rng(7))
    assert 0.93 <= share <= 0.97


def test_one_image_or_one_patient_tells_nothing():
    for hits, groups in (([True], None), ([True], ["a"]), ([True, True, True], ["a", "a", "a"])):
        found = proportion(hits, groups)
        assert (found.low, found.high) == (0.0, 1.0)


def test_mean_over_classes_of_one_class_is_nearly_wilsons_and_all_right_is_no_certainty():
    hits = np.arange(60) % 3 == 0
    alone, plain = class_mean(hits, np.zeros(60)), wilson(20, 60)
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=2e-3)
    perfect = class_mean(np.ones(18, dtype=bool), np.repeat([0, 1, 2], 6))
    assert perfect.high == 1
    assert perfect.low == pytest.approx(wilson(18, 18).low, abs=1e-9)  # equal classes know as much as all images together
    grouped = class_mean(np.ones(18, dtype=bool), np.repeat([0, 1, 2], 6), np.arange(18) // 2)
    assert grouped.low < perfect.low
    assert class_mean(np.ones(6), np.arange(6)).high == 1.0


@pytest.mark.parametrize(("shares", "sizes", "together"), [
    ((0.98, 0.98, 0.98), (20, 20, 20), 1), ((0.9, 0.9, 0.9), (40, 40, 8), 1), ((0.5, 0.9, 0.99), (30, 30, 200), 1),
    ((0.95, 0.95, 0.95), (60, 60, 60), 3),
])  # fmt: skip
def test_means_over_classes_cover_near_95_percent(shares, sizes, together):
    rng, code = np.random.default_rng(0), np.arange(sum(sizes)) // together
    truth = np.repeat(np.arange(len(sizes)), sizes)
    covered = 0
    for _ in range(800):
        patient = rng.beta(np.array(shares)[truth] * 2, (1 - np.array(shares)[truth]) * 2)[code * together]
        chance = np.array(shares)[truth] if together == 1 else patient
        found = class_mean(rng.random(len(truth)) < chance, truth, code)
        covered += found.low <= np.mean(shares) <= found.high
    assert 0.93 <= covered / 800 <= 0.985
