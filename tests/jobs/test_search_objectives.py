"""A search goes by its objective from end to end: trials, epochs, finalists, seeds and control."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from nas.engine.storage import open_storage
from nas.evaluation import objective_value
from nas.jobs.search import search
from nas.records import EpochRecord, Metric
from nas.statistics.intervals import implied_error


def figures(metrics: list[Metric], part: str = "validation") -> dict[str, float | None]:
    return {metric.name: metric.value for metric in metrics if metric.part == part}


@pytest.mark.parametrize("objective", ["auroc", "balanced_accuracy"])
def test_a_search_goes_by_its_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record = search(
        "phantom:n=120", out=tmp_path / "run", engine="here", device="cpu", image_size=32, budget="1M", trials=4, epochs=2, prune=True,
        finalists=2, final_seeds=2, final_epochs=1, audit_images=40, screen=False, control="random", objective=objective,
    )  # fmt: skip
    study = optuna.load_study(study_name="search", storage=open_storage(None, tmp_path / "run", workers=1))
    told = [t for t in study.get_trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(told) == 4
    for trial in told:
        history = [EpochRecord.model_validate(epoch) for epoch in trial.user_attrs["record"]["history"]]
        reported = {e.epoch: objective_value(objective, e.validation) for e in history if e.epoch < 2}
        assert trial.intermediate_values == pytest.approx(reported)
        if trial.value is not None:
            assert trial.value == pytest.approx(objective_value(objective, history[-1].validation))
    for one in record.trials:
        score = next((m for m in one.metrics if m.name == objective), None)
        if score is not None and score.interval is not None:
            assert one.standard_error == pytest.approx(implied_error(score.interval))
    validated = [objective_value(objective, figures(list(candidate.metrics))) for candidate in record.front]
    assert validated == sorted(validated)
    assert record.best == record.front[0]
    for candidate in record.front:
        chosen = Path(candidate.path)
        seeds = {
            home: objective_value(objective, figures([Metric.model_validate(m) for m in json.loads((home / "metrics.json").read_text())]))
            for home in sorted(chosen.parent.glob("seed*"))
        }  # fmt: skip
        assert len(seeds) == 2
        assert min(seeds, key=lambda home: seeds[home]) == chosen
        spread = figures(list(candidate.metrics))[f"{objective}_over_seeds"]
        assert abs(sum(seeds.values()) / 2 - objective_value(objective, {objective: spread})) < 1e-12
    assert [c.metric for c in record.comparisons] == [objective]
    assert record.comparisons[0].conclusion != "not compared"
