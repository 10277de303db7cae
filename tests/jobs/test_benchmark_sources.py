"""A source that training never saw: what is scored on it, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data import load
from nas.engine.progress import Silent
from nas.jobs.benchmark_arena import Arena
from nas.jobs.benchmark_settings import BenchmarkSettings
from nas.jobs.benchmark_sources import left_out_folds, left_out_metrics


def test_a_class_with_few_groups_in_the_source_is_named(tmp_path: Path) -> None:
    data = load("phantom:n=300", image_size=32)
    rare = (data.source == "harbour") & (data.labels == 2)
    data = data.subset(np.flatnonzero(~rare | (np.cumsum(rare) <= 5)))
    settings = BenchmarkSettings(
        image_size=32, folds=2, epochs=1, learning_rates=(), baselines=("sgdm_squeezenet",), device="cpu"
    )
    arena = Arena.open(settings, tmp_path, data)
    (plan,) = (plan for plan in left_out_folds(arena) if plan.source == "harbour")
    found = left_out_metrics(arena, arena.entrants[0], [plan], Silent())
    assert [metric.name for metric in found] == ["accuracy", "balanced_accuracy", "auroc"]
    assert {metric.note for metric in found} == {f"without {data.classes[2]}, of fewer than 20 groups there"}
    assert found[0].n == int(((data.source == "harbour") & (data.labels != 2)).sum())
