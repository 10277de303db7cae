"""What is trained side by side: nothing that would make the same weights twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.engine.progress import Silent
from nas.files import write_json
from nas.jobs.benchmark_arena import Arena
from nas.jobs.benchmark_settings import BenchmarkSettings
from nas.jobs.benchmark_workers import train_in_processes


@pytest.mark.parametrize(
    ("pretraining", "expected"),
    [
        ("shared", [["seed0-fold0"], ["seed1-fold0"], ["seed0-fold1", "seed1-fold1"]]),
        ("none", [["seed0-fold0"] * 2, ["seed0-fold0"], ["seed0-fold1", "seed1-fold0", "seed1-fold1"]]),  # two rates first
    ],
)
def test_each_seeds_weights_are_pretrained_by_one_process(
    pretraining: str, expected: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BenchmarkSettings(
        data=("phantom:n=90",),
        image_size=32,
        folds=2,
        seeds=2,
        baselines=("sgdm_squeezenet",),
        pretraining=pretraining,
        workers=2,
    )
    arena = Arena.open(settings, tmp_path)
    together: list[list[str]] = []

    def note(tasks: Any, *_: object, **__: object) -> None:
        if tasks:
            together.append([arena.folds[task[1]].name for task in tasks])
        for entrant, fold, *rate in tasks:
            if not rate:
                write_json(arena.home(arena.entrants[entrant]) / arena.folds[fold].name / "fold.json", {})

    monkeypatch.setattr("nas.jobs.benchmark_workers.in_processes", note)
    train_in_processes(arena, Silent())
    assert together == expected
