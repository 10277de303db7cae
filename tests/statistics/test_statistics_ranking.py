"""ROC areas against scikit-learn and DeLong by hand; coverage with groups."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nas.statistics import ranking
from search_spaces.errors import InputError


def scored(rng, n=120, shift=1.0, groups=None, between=0.0):
    truth = rng.random(n) < 0.4
    code = np.arange(n) if groups is None else rng.integers(0, groups, n)
    return shift * truth + rng.normal(0, 1, n) + between * rng.normal(0, 1, code.max() + 1)[code], truth, code


def test_area_equals_scikit_learn_also_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, truth, _ = scored(rng)
        for values in (scores, scores.round(), scores * 0):
            assert ranking.auc(values, truth) == pytest.approx(roc_auc_score(truth, values))


def test_macro_area_equals_scikit_learn():
    rng = np.random.default_rng(1)
    chances, labels = rng.dirichlet(np.ones(4), 200), rng.integers(0, 4, 200)
    assert ranking.macro_auc(chances, labels) == pytest.approx(roc_auc_score(labels, chances, multi_class="ovr"))


def test_standard_error_equals_delongs_formula():
    scores, truth, _ = scored(np.random.default_rng(2))
    x, y = scores[truth], scores[~truth]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    variance = wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y)
    assert ranking.auc_estimate(scores, truth).standard_error == pytest.approx(np.sqrt(variance))


def test_doubled_images_in_groups_change_nothing_but_alone_pretend_precision():
    scores, truth, _ = scored(np.random.default_rng(3), n=100)
    twice, code = np.repeat(scores, 2), np.repeat(np.arange(100), 2)
    grouped = ranking.auc_estimate(twice, np.repeat(truth, 2), code).standard_error
    once = ranking.auc_estimate(scores, truth).standard_error
    assert grouped == pytest.approx(once, rel=0.02)
    assert ranking.auc_estimate(twice, np.repeat(truth, 2)).standard_error < 0.75 * once


@pytest.mark.parametrize(("shift", "groups", "between"), [(0.0, None, 0.0), (1.5, None, 0.0), (1.0, 50, 1.0), (2.0, 60, 0.7)])
def test_area_covers_between_93_and_97_percent(shift, groups, between):
    rng, hits = np.random.default_rng(4), 0
    reference = ranking.auc(
        *scored(np.random.default_rng(5), n=400_000, shift=shift, groups=200_000 if groups else None, between=between)[:2]
    )
    for _ in range(2_000):
        scores, truth, code = scored(rng, n=120, shift=shift, groups=groups, between=between)
        found = ranking.auc_interval(scores, truth, code if groups else None)
        hits += found.low <= reference <= found.high
    assert 0.93 <= hits / 2_000 <= 0.97


def test_paired_comparison_holds_its_level_and_sees_a_difference():
    rng, rejected, seen = np.random.default_rng(6), 0, 0
    for _ in range(1_000):
        scores, truth, code = scored(rng, groups=50, between=0.7)
        first, second = scores + rng.normal(0, 0.7, 120), scores + rng.normal(0, 0.7, 120)
        rejected += ranking.compare_auc(first, second, truth, code).p_value < 0.05
        seen += ranking.compare_auc(scores, scores + rng.normal(0, 3, 120), truth, code).p_value < 0.05
    assert 0.03 <= rejected / 1_000 <= 0.07
    assert seen / 1_000 > 0.6


def test_two_models_macro_areas_differ_by_the_mean_of_their_classes_differences():
    rng = np.random.default_rng(7)
    labels, groups = np.repeat([0, 1, 2], 20), np.arange(60) // 2
    first, second = rng.dirichlet(np.ones(3), (2, 60)) + 0.3 * np.eye(3)[labels]
    found = ranking.compare_macro_auc(first, second, labels, groups)
    apart = [ranking.compare_auc(first[:, c], second[:, c], labels == c, groups).difference for c in range(3)]
    assert found.difference == pytest.approx(np.mean(apart))
    assert found.difference == pytest.approx(ranking.macro_auc(first, labels) - ranking.macro_auc(second, labels))
    mirrored = [np.stack([1 - s, s], axis=1) for s in (first[:40, 1], second[:40, 1])]  # two classes: the same area twice
    one = ranking.compare_auc(first[:40, 1], second[:40, 1], labels[:40] == 1, groups[:40])
    two = ranking.compare_macro_auc(*mirrored, labels[:40], groups[:40])
    assert (two.difference, two.p_value, two.interval.low) == pytest.approx((one.difference, one.p_value, one.interval.low))
    with pytest.raises(InputError, match="at least two classes"):
        ranking.compare_macro_auc(first, second, np.zeros(60, dtype=int), groups)


def test_perfect_separation_keeps_an_honest_bound():
    found = ranking.auc_interval(np.arange(40.0), np.arange(40) >= 30)
    assert found.high == 1.0
    assert 0.6 < found.low < 0.8  # 0.025^(1/10) = 0.69
    same = ranking.compare_auc(np.arange(40.0), np.arange(40.0), np.arange(40) >= 30)
    assert (same.difference, same.p_value) == (0.0, 1.0)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="both classes"):
        ranking.auc([1, 2], [True, True])
