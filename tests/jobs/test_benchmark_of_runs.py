"""What a benchmark takes over from a run, and what it says where it does otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.data import Preprocessing, load, make_parts, parts_to_json
from nas.engine.directory import RunDirectory
from nas.engine.settings import SearchSettings
from nas.evaluation import save_candidate
from nas.files import read_json, write_json
from nas.jobs.benchmark import _asked
from nas.jobs.benchmark_entrants import entrants
from nas.jobs.benchmark_settings import BenchmarkSettings
from nas.jobs.report import rewrite, verify
from search_spaces import Budget, get_space
from search_spaces.errors import InputError, ToolkitError

CLASSES = ("normal", "pneumonia", "covid")
QUICK: dict[str, Any] = {"folds": 2, "learning_rates": (), "device": "cpu", "audit": "none"}


def write_candidate(directory: RunDirectory, seed: int, path: Path | None = None) -> None:
    space = get_space("pepx", classes=3, image_size=32)
    architecture = space.sample(np.random.default_rng(seed), Budget.parse("1M", image_size=32))
    save_candidate(
        path or directory.candidate(architecture.key), model=space.build(architecture, 32), architecture=architecture,
        preprocessing=Preprocessing(image_size=32), classes=CLASSES,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on 90 phantoms of 32 pixels, finalists trained for 2 epochs, with one candidate."""
    directory = RunDirectory(tmp_path / "run")
    settings = SearchSettings(data=("phantom:n=90",), image_size=32, epochs=1, budget="1M")
    write_json(directory.settings, settings.model_dump(mode="json"))
    data = load("phantom:n=90", image_size=32)
    write_json(directory.parts, parts_to_json(data, make_parts(data, seed=0)))
    write_candidate(directory, 0)
    return next((tmp_path / "run" / "candidates").iterdir())


def asked(run: Path, resume: bool = False, **settings: Any) -> dict[str, Any]:
    return _asked([run], None, "none", settings, resume)


def test_epochs_are_the_runs_for_the_shared_recipe_only(run: Path) -> None:
    assert asked(run)["epochs"] == 2
    assert asked(run, epochs=1)["epochs"] == 1
    assert "epochs" not in asked(run, recipe="paper")  # each as its paper says
    assert "epochs" not in asked(run, resume=True)  # as the benchmark was started


def test_papers_recipe_of_a_candidate_is_that_of_its_search(run: Path) -> None:
    settings = BenchmarkSettings(models=(str(run),), image_size=32, recipe="paper")
    (own,) = entrants(settings, 3)
    assert own.recipe == SearchSettings().recipe.model_copy(update={"epochs": 2})


def test_the_runs_own_modules_come_along(run: Path) -> None:
    path = run.parents[1] / "settings.json"
    write_json(path, {**read_json(path), "imports": ["my_space"]})
    assert asked(run, imports=("mine",))["imports"] == ("mine", "my_space")


def test_it_says_what_differs_from_the_search_and_what_takes_no_part(run: Path, tmp_path: Path) -> None:
    record = nas.benchmark(run, data="phantom:n=120", baselines="none", image_size=48, epochs=1, out=tmp_path / "out", **QUICK)
    assert any(
        "30 of 120 images were not there when the run split its data: they take no part" in note for note in record.notes
    )
    assert any("was searched at 32 px; its networks are trained and costed here at 48 px" in note for note in record.notes)
    sealed = sum(record.data.parts["test"].values())
    assert f"sealed test of {sealed} images" in (tmp_path / "out" / "table.tex").read_text(encoding="utf-8")


def test_a_finished_benchmark_can_be_verified(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    nas.benchmark(run, baselines="none", epochs=1, out=out, **QUICK)
    assert verify(out) == []
    rewrite(out)
    assert verify(out) == []  # the page was written anew on purpose
    weights = next(out.rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (out / "table.csv").unlink()
    assert {Path(line.partition(":")[0]).name for line in verify(out)} == {"weights.safetensors", "table.csv"}
    with pytest.raises(InputError, match="no checksums to verify"):
        verify(tmp_path / "nothing")


def test_folds_of_another_split_are_not_taken_for_these(run: Path, tmp_path: Path) -> None:
    nas.benchmark(run, baselines="none", epochs=1, out=tmp_path / "out", **QUICK)
    data = load("phantom:n=90", image_size=32)
    write_json(RunDirectory(run.parents[1]).parts, parts_to_json(data, make_parts(data, seed=1)))
    with pytest.raises(ToolkitError, match="seed0-fold0 was trained on another split of these images"):
        nas.benchmark(run, baselines="none", out=tmp_path / "out", resume=True)


def test_networks_that_come_later_open_the_test_again(run: Path, tmp_path: Path) -> None:
    first = nas.benchmark(run, baselines="none", epochs=1, out=tmp_path / "out", **QUICK)
    assert (first.test_openings, nas.benchmark(out=tmp_path / "out", resume=True).test_openings) == (1, 1)
    write_candidate(RunDirectory(run.parents[1]), 1, run)
    grown = nas.benchmark(out=tmp_path / "out", resume=True)
    assert grown.rows[0].name != first.rows[0].name
    assert grown.test_openings == 2


def test_other_images_do_not_open_the_runs_test(run: Path, tmp_path: Path) -> None:
    record = nas.benchmark(run, data="phantom:n=90,seed=4", baselines="none", epochs=1, out=tmp_path / "out", **QUICK)
    assert any("was searched on other images" in note for note in record.notes)
    assert record.test_openings == 1
    assert not (run.parents[1] / "openings.json").exists()
