"""Paired tests against scipy and hand-computed tables; levels by simulation."""

import numpy as np
import pytest
from scipy import stats

from nas.records import Interval
from nas.statistics import conclude, holm, mcnemar, nadeau_bengio, paired
from nas.statistics.paired import Difference
from search_spaces.errors import InputError


def table(both, only_first, only_second, neither):
    first = np.repeat([1, 1, 0, 0], [both, only_first, only_second, neither])
    second = np.repeat([1, 0, 1, 0], [both, only_first, only_second, neither])
    return first, second


def test_mcnemar_by_hand():
    assert mcnemar(*table(50, 9, 1, 20)) == pytest.approx(2 * 11 / 2**10)  # 2 · (C(10,0) + C(10,1)) / 2¹⁰
    assert mcnemar(*table(50, 0, 0, 20)) == 1.0
    assert mcnemar(*table(50, 5, 5, 20)) == 1.0


def test_clustered_mcnemar_equals_the_plain_chi_square_for_single_images():
    first, second = table(50, 15, 5, 20)
    assert paired.clustered_mcnemar(first, second, np.arange(90)) == pytest.approx(stats.chi2.sf((15 - 5) ** 2 / 20, 1))


def test_mean_difference_equals_scipys_paired_t():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 50), rng.normal(0, 1, 50)
    assert paired.mean_difference(first, second).p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)


@pytest.mark.parametrize("test", ["mean", "mcnemar", "balanced accuracy"])
def test_level_with_groups(test):
    """Two equally good models that err in the same patients: rejected in about 5 % of 600 draws."""
    rng, rejected = np.random.default_rng(1), 0
    code, labels = np.repeat(np.arange(60), 4), np.repeat(np.arange(60) % 2, 4)
    for _ in range(600):
        hard = rng.beta(1, 2, (2, 60))
        wrong = rng.random((2, 240)) < hard[:, code]
        first, second = np.where(wrong[0], 1 - labels, labels), np.where(wrong[1], 1 - labels, labels)
        right = first == labels, second == labels
        if test == "mean":
            p = paired.mean_difference(*right, code).p_value
        elif test == "mcnemar":
            p = paired.clustered_mcnemar(*right, code)
        else:
            p = paired.balanced_accuracy_difference(first, second, labels, 2, code, rng=rng, draws=500).p_value
        rejected += p < 0.05
    assert 0.025 <= rejected / 600 <= 0.08


def test_balanced_accuracy_difference_covers():
    rng, hits = np.random.default_rng(2), 0
    code = np.repeat(np.arange(50), 3)
    labels = np.repeat((np.arange(50) < 12).astype(int), 3)
    for _ in range(1_000):
        skill = np.clip(rng.normal(0.75, 0.15, 50), 0, 1)[code]
        first = np.where(rng.random(150) < skill, labels, 1 - labels)
        second = np.where(rng.random(150) < skill, labels, 1 - labels)
        found = paired.balanced_accuracy_difference(first, second, labels, 2, code, rng=rng, draws=400)
        hits += found.interval.low <= 0 <= found.interval.high
    assert 0.93 <= hits / 1_000 <= 0.975


def test_nadeau_bengio_by_hand():
    differences = np.array([0.02, 0.04, 0.00, 0.03, 0.01])
    found = nadeau_bengio(differences, test_share=0.25)
    error = np.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert found.difference == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.02 / error, 4))
    assert found.p_value > stats.ttest_1samp(differences, 0).pvalue
    with pytest.raises(InputError, match="at least 2 folds"):
        nadeau_bengio([0.1], 0.25)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def difference(value, low, high, p):
    return Difference(value, Interval(low=low, high=high, method="x"), p, "x")


def test_conclusions():
    assert conclude(difference(0.1, 0.05, 0.15, 0.001)) == "better"
    assert conclude(difference(0.1, 0.05, 0.15, 0.001), higher_is_better=False) == "worse"
    assert conclude(difference(0.1, 0.05, 0.15, 0.001), p_adjusted=0.2) == "within noise"
    assert conclude(difference(0.0, -0.02, 0.02, 0.9), margin=0.05) == "not inferior"
    assert conclude(difference(0.0, -0.06, 0.06, 0.9), margin=0.05) == "within noise"
    assert conclude(difference(0.1, 0.05, 0.15, 0.001), comparable=False) == "not compared"
    assert conclude(None) == "not compared"
    assert paired.non_inferior(Interval(low=-0.5, high=0.04, method="x"), 0.05, higher_is_better=False)
    with pytest.raises(InputError, match="positive"):
        conclude(difference(0.0, -0.01, 0.01, 0.9), margin=-0.05)
