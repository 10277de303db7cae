"""Retraining a failing finalist by the options that its verdict names: what counts as cured, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nas.engine.directory import RunDirectory, seal
from nas.engine.progress import Silent
from nas.engine.requirements import parse_requirement
from nas.engine.settings import SearchSettings
from nas.files import write_json
from nas.jobs import finalists
from nas.jobs.benchmark_entrants import _without
from nas.records import CandidateRecord, CostRecord, Finding, Gate, Metric, TrialRecord
from nas.report import formatting as fmt

FAIL = "T4 marker transplant, class covid: too much"


def attempt(verdict: str, accuracy: float, hardly: tuple[str, ...] = (), answers: tuple[str, ...] = ()) -> CandidateRecord:
    """A candidate as its audit left it; ``hardly``: classes at whose competence gate it stopped."""
    gates = tuple(
        Gate(name=f"competence[{name}]", passed=name not in hardly, value=0.6, rule="") for name in ("normal", "covid")
    )
    reason = {"fail": FAIL, "pass": "all lie inside", "undecided": "gate competence"}[verdict]
    metric = Metric(name="balanced_accuracy", value=accuracy, n=90, groups=60, part="audit")
    return CandidateRecord(
        key="k", name="candidate k", path="run/candidates/k/seed0", architecture={}, metrics=(metric,),
        cost=CostRecord(flops=1, parameters=1, memory=1, image_size=32, in_channels=1),
        finding=Finding(verdict=verdict, binding_reason=reason, gates=gates, answers=answers),
    )  # fmt: skip


def answer(
    monkeypatch: pytest.MonkeyPatch, before: CandidateRecord, *after: CandidateRecord
) -> tuple[CandidateRecord, list[tuple[str, tuple[str, ...]]]]:
    """What becomes of ``before`` where retraining gives each of ``after`` in turn, and the options that it was retrained with."""
    asked: list[tuple[str, tuple[str, ...]]] = []
    turns = iter(after)

    def again(context: object, trial: object, directory: Path, answers: tuple[str, ...], *_: object) -> CandidateRecord:
        asked.append((directory.name, answers))
        return next(turns)

    monkeypatch.setattr(finalists, "_attempt", again)
    return finalists._answer(SimpleNamespace(), SimpleNamespace(), before, Path("k"), SimpleNamespace(), 1), asked


def test_seeds_and_finalists_are_chosen_by_the_objective(tmp_path: Path) -> None:
    def scores(loss: float, area: float) -> tuple[Metric, ...]:
        pairs = (("log_loss", loss), ("auroc", area))
        return tuple(Metric(name=name, value=value, n=9, groups=9, part="validation") for name, value in pairs)

    trained = {"a": [scores(1.0, 0.6), scores(1.2, 0.8)], "b": [scores(0.9, 0.7), scores(0.8, 0.5)]}  # each key's seeds
    front = [SimpleNamespace(key=key, architecture={}) for key in "ab"]
    for objective, expected in (("log_loss", [("b", 1), ("a", 0)]), ("auroc", [("a", 1), ("b", 0)])):
        directory = RunDirectory(tmp_path / objective)
        context = SimpleNamespace(settings=SearchSettings(finalists=2, final_seeds=2, objective=objective), directory=directory)
        for trial in front:
            seeds = finalists._seeds(context, trial, directory.candidate(trial.key), ())
            for one in seeds:  # as training leaves them
                write_json(one.directory / "metrics.json", [m.model_dump(mode="json") for m in trained[trial.key][one.seed]])
            best = finalists._ranked(context, [one.figures for one in seeds])[0]
            metrics = trained[trial.key][best]
            record = attempt("pass", 0.5).model_copy(update={"key": trial.key, "seeds": (best,), "metrics": metrics})
            write_json(directory.candidate(trial.key) / "candidate.json", record.model_dump(mode="json"))
            seal(directory.candidate(trial.key))
        found = finalists.conclude_front(context, front, Silent())
        assert [(one.key, *one.seeds) for one in found] == expected


def trained(key: str, loss: float, flops: int, sensitivity: float | None) -> TrialRecord:
    """A completed trial of this log-loss and cost, with its sensitivity on validation."""
    metric = Metric(name="sensitivity[covid]", value=sensitivity, n=90, groups=60, part="validation")
    cost = CostRecord(flops=flops, parameters=1, memory=1, image_size=32, in_channels=1)
    return TrialRecord(
        number=0, key=key, outcome="completed", architecture={}, cost=cost, quality=loss, metrics=(metric,)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "count", "expected"),
    [
        ((), 1, "a"), ((), 2, "ab"), ((), 9, "ab"),  # c and d are dominated, by a and b
        (("sensitivity[covid]>=0.8",), 1, "c"),  # the only one that can come to win
        (("sensitivity[covid]>=0.8",), 2, "ac"), (("sensitivity[covid]>=0.8",), 9, "acb"),
        (("sensitivity[covid]>=0.5",), 2, "ab"),  # the front's own reach it
        (("sensitivity[covid]>=0.95",), 2, "ab"),  # nobody does
    ],
)  # fmt: skip
def test_what_reaches_the_requirements_is_retrained_before_others(asked: tuple[str, ...], count: int, expected: str) -> None:
    trials = [trained("d", 0.6, 60, None), trained("c", 0.5, 50, 0.9), trained("a", 0.3, 50, 0.6), trained("b", 0.4, 40, 0.7)]
    chosen = finalists.choose(trials, [parse_requirement(text) for text in asked], count)
    assert "".join(trial.key for trial in chosen) == expected


def test_the_spread_over_seeds_is_of_what_they_are_chosen_by() -> None:
    groups = np.array(["a", "a", "b"])
    (spread,) = finalists._seed_spread("auroc", [0.6, 0.8], groups)
    assert (spread.name, spread.value, spread.note) == ("auroc_over_seeds", 0.7, "standard deviation over 2 seeds 0.1414")
    assert (spread.n, spread.groups) == (3, 2)  # images and groups, as of any figure
    assert finalists._seed_spread("auroc", [None, None], groups) == []


def test_a_cured_network_takes_the_place_of_the_failing_one_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = attempt("fail", 0.8, answers=("marker", "crop_body")), attempt("pass", 0.61)
    record, asked = answer(monkeypatch, before, after)
    assert asked == [("answered", ("marker",))]  # a crop changes new images, too: only where no training option is left
    assert not record.cropped
    assert record.finding == after.finding
    text = fmt.answered_text(record)
    assert text == (
        "Retrained with marker: the failure was the data's: the same architecture, trained so, no longer fails. Verdict fail → pass, balanced "
        f"accuracy on the audit part 80.0 % → 61.0 %; before: {FAIL}"
    )


def test_a_network_that_learnt_nothing_is_not_cured(monkeypatch: pytest.MonkeyPatch) -> None:
    before = attempt("fail", 0.8, answers=("marker",))
    record, _ = answer(monkeypatch, before, attempt("undecided", 0.4, hardly=("covid",)))
    assert record.finding == before.finding
    assert "not cured: trained so, it hardly tells covid from the rest" in str(fmt.answered_text(record))
    weak = attempt("fail", 0.8, hardly=("covid",), answers=("marker",))  # it could not before either
    record, _ = answer(monkeypatch, weak, attempt("undecided", 0.7, hardly=("covid",)))
    assert record.finding is not None
    assert record.finding.verdict == "undecided"


def test_one_that_still_fails_is_kept_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = attempt("fail", 0.8, answers=("marker",))
    record, _ = answer(monkeypatch, before, attempt("fail", 0.7, hardly=("covid",)))
    assert record.finding == before.finding
    assert f"not cured: trained so, it fails by {FAIL}" in str(fmt.answered_text(record))


def test_what_fails_next_is_answered_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    before, next_one = attempt("fail", 0.8, answers=("marker",)), attempt("fail", 0.7, answers=("geometry", "marker"))
    record, asked = answer(monkeypatch, before, next_one, attempt("pass", 0.6))
    assert asked == [("answered", ("marker",)), ("answered1", ("marker", "geometry"))]
    assert record.finding is not None
    assert record.finding.verdict == "pass"
    assert str(fmt.answered_text(record)).startswith("Retrained with marker, geometry: the failure was the data's")
    record, asked = answer(monkeypatch, before, next_one, next_one)  # nothing new is named
    assert len(asked) == 2
    assert record.finding == before.finding


def test_the_crop_to_the_lungs_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    before, next_one = (
        attempt("fail", 0.8, answers=("marker", "crop_body")),
        attempt("fail", 0.7, answers=("marker", "crop_body")),
    )
    record, asked = answer(monkeypatch, before, next_one, attempt("pass", 0.7))
    assert asked == [("answered", ("marker",)), ("answered1", ("marker", "crop_body"))]
    assert record.cropped
    assert "it needs new images cut to the lungs, too" in str(fmt.answered_text(record))
    record, _ = answer(monkeypatch, before, next_one, attempt("fail", 0.7))
    assert not record.cropped


def test_where_nothing_answers_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    record, asked = answer(monkeypatch, attempt("fail", 0.8))
    assert asked == []
    assert fmt.answered_text(record) == "Not retrained: nothing is known that answers this finding"
    assert fmt.answered_text(attempt("pass", 0.8)) is None


def test_a_benchmark_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cured, _ = answer(monkeypatch, attempt("fail", 0.8, answers=("marker",)), attempt("pass", 0.61))
    assert _without(cured) == "; trained here without the options that cured it there (marker)"
    same, _ = answer(monkeypatch, attempt("fail", 0.8, answers=("marker",)), attempt("fail", 0.61))
    assert _without(same) == _without(attempt("pass", 0.8)) == ""
