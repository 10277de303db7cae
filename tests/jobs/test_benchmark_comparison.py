"""What may be called better: paired, adjusted, at equal pretraining, without leaks."""

from __future__ import annotations

import numpy as np

from nas.jobs.benchmark_comparison import Contestant, compare, pairs, strongest
from nas.jobs.benchmark_scores import Panel, make_sheet

N = 180
LABELS = np.arange(N) % 3
SHEET = make_sheet(LABELS, np.arange(N).astype(np.str_), ("a", "b", "c"), "test", 2, draws=400)


def contestant(
    name: str, skill: float, *, kind: str = "baseline", pretraining: str = "none", leaks: str = "", seed: int = 0
) -> Contestant:
    rng = np.random.default_rng(seed)
    assert SHEET is not None
    logits = [(rng.normal(size=(N, 3)) + skill * np.eye(3)[LABELS]).astype(np.float32) for _ in range(2)]
    return Contestant(name, kind, Panel(SHEET, logits), [skill / 10, skill / 10 + 0.01], pretraining, leaks)


def word(first: Contestant, second: Contestant, metric: str = "balanced_accuracy") -> str:
    return next(one.conclusion for one in compare([first, second], folds=2, margin=0.05) if one.metric == metric)


def test_a_clear_difference_is_said_both_ways() -> None:
    good, bad = contestant("good", 5), contestant("bad", 1, seed=1)
    assert word(good, bad) == "better"
    assert word(bad, good, "auroc") == "worse"


def test_the_same_predictions_are_not_inferior_and_never_better() -> None:
    assert word(contestant("one", 3), contestant("two", 3)) == "not inferior"
    assert word(contestant("one", 1.5), contestant("two", 1.5, seed=1)) == "within noise"


def test_nothing_is_not_inferior_to_a_guess() -> None:
    found = compare([contestant("one", 0), contestant("two", 0)], folds=2, margin=0.05)
    assert {one.conclusion for one in found if one.metric == "balanced_accuracy" and "sealed" in one.note} == {"within noise"}
    assert "two is not above chance" in found[0].note


def test_unequal_pretraining_and_leaks_take_no_part() -> None:
    weak = contestant("weak", 1)
    for strong in (
        contestant("strong", 5, pretraining="imagenet"),
        contestant("strong", 5, leaks="decomposed before the split"),
    ):
        found = compare([strong, weak], folds=2, margin=0.05)
        assert {one.conclusion for one in found} == {"not compared"}
        assert all(one.p_adjusted is None for one in found)
        assert "unequal pretraining: imagenet against none" in found[0].note or "strong leaks" in found[0].note


def test_adjusted_values_are_never_below_the_plain_ones() -> None:
    found = compare([contestant(f"m{i}", i, seed=i) for i in range(4)], folds=2, margin=0.05)
    assert len(found) == 6 * 4
    assert all(one.p_adjusted is not None and one.p_value is not None and one.p_adjusted >= one.p_value for one in found)


def test_who_meets_whom() -> None:
    own, other = contestant("own", 2, kind="candidate"), contestant("other", 1, kind="candidate")
    baselines = [contestant(f"b{i}", i) for i in range(8)]
    assert strongest(baselines).name == "b7"
    met = [(a.name, b.name) for a, b in pairs([own, other, *baselines])]
    assert len(met) == 2 * 8 + 1
    against_the_strongest = pairs(baselines, asked=[("b1", "b0"), ("b1", "absent")])
    assert [(a.name, b.name) for a, b in against_the_strongest[:2]] == [("b1", "b0"), ("b7", "b0")]
    assert len(against_the_strongest) == 8
