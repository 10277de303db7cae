"""What may be called better: paired, adjusted, at equal pretraining, without leaks."""

from __future__ import annotations

import numpy as np

from nas.jobs.benchmark_comparison import Contestant, compare, difference, pairs, strongest
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


def test_many_opponents_do_not_drown_a_clear_difference() -> None:
    own = [contestant(f"own {i}", 5, kind="candidate", seed=i) for i in range(2)]
    found = compare([*own, *(contestant(f"b{i}", 1, seed=2 + i) for i in range(16))], folds=2, margin=0.05)
    tested = [one for one in found if one.note.startswith("sealed test") and one.second.startswith("b")]
    assert len(found) > 2 * 16 * 4
    assert {one.conclusion for one in tested} == {"better"}


def test_draws_that_agree_are_no_certainty() -> None:
    labels = np.arange(12) % 3
    made = make_sheet(labels, np.arange(12).astype(np.str_), ("a", "b", "c"), "test", 2)
    assert made is not None
    perfect = Panel(made, [np.eye(3, dtype=np.float32)[labels]] * 2)
    constant = Panel(made, [np.tile(np.array([1, 0, 0], dtype=np.float32), (12, 1))] * 2)
    same, other = (difference(perfect, one, "balanced_accuracy") for one in (perfect, constant))
    assert same is not None
    assert same.interval is not None
    assert same.interval.low < -0.05  # four images a class cannot show non-inferiority
    assert other is not None
    assert other.interval is not None
    assert other.interval.low < other.difference < other.interval.high
    chance = constant.interval("balanced_accuracy")
    assert chance is not None
    assert chance.low < 1 / 3 < chance.high


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
