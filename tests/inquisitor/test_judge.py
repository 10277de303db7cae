"""The three-way verdict: what passes, what fails, what stays undecided, and what binds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nas.inquisitor.effects import Effect
from nas.inquisitor.gates import precision
from nas.inquisitor.judge import agree, also_by_flips, judge, result, rule, sentence
from nas.inquisitor.margins import Margin, Margins

SWAP = Margin(passing=0.10, failing=0.25)
AREA = Margins().lungs_removed
DROP = Margins().lungs_only


def _effect(value: float, error: float = 0.01) -> Effect:
    return Effect(value, error, 200)


def _result(test="T3", value=0.0, error=0.01, margin=SWAP, name="covid", fill=""):
    return result(
        test=test, title="a swap", class_name=name, statistic="effect", effect=_effect(value, error), margin=margin, n=300,
        groups=200, fill=fill,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (0.02, 0.01, "pass"),
        (-0.02, 0.01, "pass"),
        (0.40, 0.02, "fail"),
        (-0.40, 0.02, "fail"),  # signed: dependence in either direction counts
        (0.17, 0.01, "undecided"),
        (0.09, 0.02, "undecided"),
        (0.28, 0.05, "undecided"),
        (0.00, 0.05, "undecided"),  # centred on nothing, but blind
    ],
)
def test_swap_effects(value, error, verdict):
    assert judge(_effect(value, error), SWAP).verdict == verdict


def test_few_images_never_pass_by_an_interval_that_contains_chance():
    assert judge(_effect(0.5, 0.06), AREA).verdict == "undecided"
    assert judge(_effect(0.5, 0.02), AREA).verdict == "pass"


def test_a_gain_does_not_count_against_a_model_where_only_losses_do():
    assert judge(_effect(-0.3, 0.01), DROP).verdict == "pass"
    assert judge(_effect(0.2, 0.01), DROP).verdict == "fail"


def test_undecided_says_how_many_groups_would_settle_it():
    blunt = _result(value=0.0, error=0.10)
    assert blunt.minimum_detectable_effect == pytest.approx(0.28)
    assert blunt.groups_needed == pytest.approx(200 * 2.8**2, rel=0.01)
    between = _result(value=0.17, error=0.01)
    assert between.groups_needed is None
    assert "between the margins" in between.reason


def test_score_is_the_distance_to_the_fail_margin():
    assert _result(value=0.5).score == pytest.approx(1.0)
    assert _result(value=0.0).score == pytest.approx(-1.0)


def test_fills_must_agree_for_a_pass():
    good, bad = _result(value=0.0, fill="ring"), _result(value=0.4, fill="laplace")
    middle = _result(value=0.15, fill="laplace")
    assert agree([good, good]).verdict == "pass"
    assert agree([good, middle]).verdict == "undecided"
    assert agree([middle, bad]).verdict == "fail"
    torn = agree([good, bad])
    assert torn.verdict == "undecided"
    assert "disagree" in torn.reason


def test_a_fill_that_fails_leads_before_a_larger_but_undecided_one():
    sure, vague = _result(value=0.32, error=0.03, fill="ring"), _result(value=0.34, error=0.08, fill="laplace")
    assert (sure.verdict, vague.verdict) == ("fail", "undecided")
    for found in (agree([sure, vague]), agree([vague, sure])):
        assert (found.verdict, found.fill, found.details["p_fail"]) == ("fail", "ring", sure.details["p_fail"])


def test_the_p_value_of_several_fills_is_the_largest():
    sure, unsure, none = (_result(value=v).model_copy(update={"p_value": p}) for v, p in ((0.4, 0.01), (0.0, 0.6), (0.1, None)))
    assert agree([sure, unsure]).p_value == 0.6  # torn: the worst effect leads, but not with its own p-value
    assert agree([none, sure, sure]).p_value == 0.01
    assert agree([none]).p_value is None


def test_fills_whose_p_values_are_right_give_one_of_the_right_size():
    """Two correlated fills of no effect: the p-value of the larger effect would be below 5 % in some 8 % of cases."""
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 4000)
    p = 2 * stats.norm.sf(np.abs(z))
    items = [
        agree([_result(value=v).model_copy(update={"p_value": float(q)}) for v, q in zip(*pair, strict=True)])
        for pair in zip(z / 50, p, strict=True)
    ]
    assert np.mean([item.p_value <= 0.05 for item in items]) < 0.06
    assert np.mean(p.min(axis=1) <= 0.05) > 0.07


def _rule(results, **options):
    needed = frozenset({"T3", "T4"})
    return rule(results, **{"failing": needed, "passing": needed, "obstacles": (), **options})


def test_one_failing_test_fails_the_model_and_binds():
    found = _rule([_result("T3", 0.5), _result("T4", 0.0)])
    assert found.verdict == "fail"
    assert found.binding_reason.startswith("T3")


def test_a_fail_that_does_not_survive_holm_over_tests_and_classes_is_none():
    narrow = [_result("T3", 0.25 + 2.0 * 0.01, 0.01)]  # just beyond the margin
    assert narrow[0].verdict == "fail"
    crowd = narrow + [_result("T4", 0.0, name=f"c{k}") for k in range(20)]
    found = _rule(crowd)
    assert found.verdict == "undecided"
    assert "among 21 tests that is no proof (Holm's p = " in found.binding_reason


def test_pass_needs_every_needed_test_and_every_class():
    assert _rule([_result("T3"), _result("T4")]).verdict == "pass"
    assert "does not run" in _rule([_result("T3")]).binding_reason
    kept = _rule([_result("T3"), _result("T4")], not_auditable=("rare",))
    assert kept.verdict == "undecided"
    assert "rare" in kept.binding_reason


def test_an_obstacle_keeps_from_passing_but_not_from_failing():
    assert _rule([_result("T3"), _result("T4")], obstacles=("gate masks: few",)).verdict == "undecided"
    assert _rule([_result("T3", 0.5), _result("T4")], obstacles=("gate masks: few",)).verdict == "fail"


def test_sentences_name_figure_margin_and_place():
    item = _result("T3", 0.5)
    item = item.model_copy(update={"details": {**item.details, "region": "upper right"}})
    assert "+0.50 sigma" in sentence(item)
    assert "fail margin of 0.25, mostly upper right" in sentence(item)


def test_a_sentence_names_the_margin_of_the_side_that_was_left():
    assert sentence(_result("T1", 0.25, 0.02, AREA)).endswith("beyond the fail margin of 0.35")
    assert sentence(_result("T1", 0.75, 0.02, AREA)).endswith("beyond the fail margin of 0.65")
    assert sentence(_result("T3", -0.5)).endswith("beyond the fail margin of -0.25")


FLIPS = Margin(passing=0.02, failing=0.05, unit="of the decisions")


def _item(value, error):
    return result(
        test="T4", title="marker transplant", class_name="covid", statistic="signed marker effect",
        effect=Effect(value, error, 200), margin=Margin(passing=0.10, failing=0.25), n=400, groups=200,
    )  # fmt: skip


def test_a_model_whose_decisions_donors_turn_fails_however_wide_its_log_odds_spread():
    item = also_by_flips(_item(0.2, 0.02), Effect(-0.11, 0.01, 200), FLIPS)
    assert item.verdict == "fail"
    assert item.score == pytest.approx((0.11 - 0.05) / 0.05)
    assert item.details["p_fail"] == pytest.approx(2 * stats.t.sf(6, 200), rel=1e-4)
    assert sentence(item).endswith("it turns 11% of the decisions (9% at least), beyond 5%")


@pytest.mark.parametrize(("value", "error", "verdict"), [(0.0, 0.01, "pass"), (0.2, 0.02, "undecided"), (0.5, 0.02, "fail")])
def test_few_turned_decisions_leave_the_verdict_in_sigma(value, error, verdict):
    item = also_by_flips(_item(value, error), Effect(0.055, 0.01, 200), FLIPS)
    assert item.verdict == verdict
    assert item.details["net_flips_low"] < 0.05 < item.details["net_flips_high"]


def test_a_test_that_fails_was_precise_enough():
    found, blunt = _result(value=2.0, error=0.1), _result(value=0.0, error=0.1)
    assert found.verdict == "fail"
    assert precision((found,)).passed
    gate = precision((found, blunt))
    assert (gate.passed, gate.value) == (False, pytest.approx(2.8))
