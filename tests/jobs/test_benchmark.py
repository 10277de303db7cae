"""The whole job on small phantom sets: rows, files, resuming, failing models, candidates, pretraining, sources."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nas
from baselines import Baseline, Recipe, get_baseline, register_baseline
from baselines.registry import _registry
from nas.files import read_json
from nas.records import BenchmarkRecord, Metric
from search_spaces.errors import InputError, ToolkitError

SMALL: dict[str, Any] = {
    "data": "phantom:n=120",
    "image_size": 32,
    "folds": 2,
    "epochs": 1,
    "learning_rates": (),
    "device": "cpu",
}


class Tiny(nn.Module):
    """Two convolutions and an average: float (N, 1, H, W) → (N, classes)."""

    def __init__(self, classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.norm(self.conv(images))).mean(dim=(2, 3)))


class Broken(Tiny):
    """Raises in the middle of its training."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise RuntimeError("a layer that does not fit")
        return super().forward(images)


@pytest.fixture(autouse=True)
def tiny_baselines() -> Iterator[None]:
    get_baseline("cnn")  # ours are listed first
    for name, network in (("tiny", Tiny), ("tiny_too", Tiny), ("broken", Broken)):
        register_baseline(Baseline(name, name, network, Recipe(name="paper", epochs=1), paper_size=32, minimum_size=16))
    yield
    for name in ("tiny", "tiny_too", "broken"):
        del _registry._entries[name]


class Listener:
    """Remembers what it is told; interrupts when told to."""

    def __init__(self, stop_at: str = "") -> None:
        self.heard: list[str] = []
        self.stop_at = stop_at

    def message(self, text: str) -> None:
        self.heard.append(text)
        if self.stop_at and self.stop_at in text:
            raise KeyboardInterrupt

    @property
    def trainings(self) -> int:
        return sum("training on" in text for text in self.heard)


def run(out: Path, **settings: Any) -> BenchmarkRecord:
    return nas.benchmark(out=out, **{**SMALL, **settings})


def test_record_and_files(tmp_path: Path) -> None:
    record = run(tmp_path, baselines="tiny,detrac:backbone=squeezenet", survey=True, audit="screen", leave_one_source_out=True)
    names = [row.name for row in record.rows]
    assert names == [
        "tiny",
        "detrac:backbone=squeezenet",
        "control: trivial features",
        "control: border only",
        "control: lung outline only",
    ]
    tiny = record.rows[0]
    test = {metric.name: metric for metric in tiny.test}
    for name in (
        "balanced_accuracy",
        "auroc",
        "mcc",
        "brier",
        "ece",
        "npv[covid]",
        "sensitivity_at_95_specificity[covid]",
        "accuracy[covid]",
    ):
        assert name in test
    assert test["balanced_accuracy"].interval is not None
    assert test["balanced_accuracy"].groups < test["balanced_accuracy"].n == sum(record.data.parts["test"].values())
    assert sum(map(sum, tiny.confusion)) == 2 * test["accuracy"].n  # summed over both folds
    assert tiny.cost is not None
    assert tiny.cost.parameters == 4 * 9 + 4 + 8 + 15
    assert tiny.cost.flops == 15 * 15 * 4 * 9 + 12
    assert tiny.latency_ms is not None
    assert tiny.throughput is not None
    assert tiny.finding is not None
    assert tiny.diversity == 3
    assert any(metric.part.startswith("left out:") for metric in tiny.by_source)
    assert {metric.part for metric in tiny.folds} == {
        "out of fold, mean of 2",
        "out of fold, seed0-fold0",
        "out of fold, seed0-fold1",
    }
    assert set(tiny.curves["roc"]) == {"normal", "pneumonia", "covid"}
    assert len(record.comparisons) == 4
    assert record.survey["tables"][-1]["rows"][1][2] == "–"  # the plain "detrac" did not compete
    assert record.test_openings == 1
    page = Path(record.page).read_text(encoding="utf-8")
    assert "Table DeTraC: DeTraC and a plain ResNet" in page
    assert "What is better?" in page
    assert json.loads((tmp_path / "benchmark.json").read_text())["kind"] == "benchmark"
    assert r"control: trivial features" in (tmp_path / "table.tex").read_text()
    with (tmp_path / "predictions" / "tiny.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * test["accuracy"].n + sum(
        record.data.parts[part][c] for part in ("train", "validation") for c in record.classes
    )
    assert sum(float(rows[0][f"p[{c}]"]) for c in record.classes) == pytest.approx(1, abs=1e-4)


def test_images_without_masks_are_segmented_for_the_audit_and_the_outline_control(tmp_path: Path) -> None:
    from PIL import Image

    from nas.data.phantom import phantom

    images = phantom(n=60, image_size=64)
    for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
        folder = tmp_path / "chests" / images.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(folder / f"{number}.png")
    data = f"folder:{tmp_path / 'chests'}"
    asked = run(tmp_path, data=data, image_size=64, baselines="tiny", audit="screen")
    assert asked.rows[0].finding is not None
    assert any("come from the shipped segmenter" in note for note in asked.data.warnings)
    outline = next(row for row in asked.rows if "outline" in row.name)
    assert any(metric.value is not None for metric in outline.test)


def test_an_interrupted_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", baselines="tiny,tiny_too")
    stopped = Listener(stop_at="tiny_too, seed0-fold1")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", baselines="tiny,tiny_too", progress=stopped)
    assert stopped.trainings == 4
    again = Listener()
    resumed = nas.benchmark(out=tmp_path / "cut", resume=True, progress=again)
    assert again.trainings == 1
    assert [row.test for row in resumed.rows] == [row.test for row in whole.rows]
    assert resumed.comparisons == whole.comparisons
    assert resumed.test_openings == 1
    with pytest.raises(InputError, match=r"started with folds = 2, but got 3"):
        nas.benchmark(out=tmp_path / "cut", resume=True, folds=3)
    with pytest.raises(InputError, match="holds a benchmark already"):
        run(tmp_path / "cut", baselines="tiny")
    with pytest.raises(InputError, match="no benchmark to resume"):
        nas.benchmark(out=tmp_path / "nothing", resume=True)


def test_a_model_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    record = run(tmp_path, baselines="broken,tiny")
    broken, tiny = record.rows[:2]
    assert broken.failed == "seed0-fold0: a layer that does not fit"
    assert not broken.test
    assert tiny.test
    assert record.comparisons == ()
    with pytest.raises(ToolkitError, match="no model could be trained: broken: seed0-fold0"):
        run(tmp_path / "alone", baselines="broken")


def inline(tasks: Sequence[tuple], work: Any, done: Any, *, opened: Any, arguments: tuple, **_: object) -> None:
    """Work in this process: what a worker does, without the seconds that its start takes."""
    opened(*arguments)
    for count, task in enumerate(tasks, start=1):
        done(task, work(*task), count)


def values(metrics: Sequence[Metric]) -> dict[str, float]:
    """Figures by name, NaN where there is none; workers compute with fewer threads each, which reorders sums."""
    return {metric.name: np.nan if metric.value is None else metric.value for metric in metrics}


def test_workers_give_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run(tmp_path / "one", baselines="tiny,broken")
    monkeypatch.setattr("nas.jobs.benchmark_workers.in_processes", inline)
    heard = Listener()
    together = run(tmp_path / "two", baselines="tiny,broken", workers=2, progress=heard)
    assert values(together.rows[0].test) == pytest.approx(values(alone.rows[0].test), rel=1e-4, nan_ok=True)
    assert together.rows[1].failed == alone.rows[1].failed
    told = [text for text in heard.heard if " of " in text and "seed0-fold" in text]
    assert told[0].endswith("(1 of 2)")
    assert told[-1] == "tiny, seed0-fold1: done (1 of 1)"  # what failed on the first fold is not trained on the second


def test_workers_try_the_learning_rates_apart_and_pick_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run(tmp_path / "one", baselines="tiny", learning_rates=(0.1, 1e-5))
    monkeypatch.setattr("nas.jobs.benchmark_workers.in_processes", inline)
    heard = Listener()
    together = run(tmp_path / "two", baselines="tiny", learning_rates=(0.1, 1e-5), workers=2, progress=heard)
    rates = [read_json(tmp_path / name / "models/tiny/learning_rates.json") for name in ("one", "two")]
    assert rates[0] == pytest.approx(rates[1], rel=1e-5)
    assert set(rates[0]) == {"0.1", "1e-05"}
    assert values(together.rows[0].test) == pytest.approx(values(alone.rows[0].test), rel=1e-4, nan_ok=True)
    tried = {text.partition(" (")[0] for text in heard.heard if "rate" in text}
    assert tried == {"tiny, seed0-fold0, rate 0.1: done", "tiny, seed0-fold0, rate 1e-05: done"}


def test_a_rate_that_diverges_in_a_worker_leaves_the_pick_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.jobs.benchmark_workers.in_processes", inline)
    heard = Listener()
    record = run(tmp_path, baselines="tiny", learning_rates=(1e30, 1e-3), workers=2, progress=heard)
    assert any("rate 1e+30: failed: the training loss became nan" in text for text in heard.heard)
    assert read_json(tmp_path / "models/tiny/learning_rates.json")["1e+30"] is None
    assert record.rows[0].test


def test_the_precision_is_kept_and_a_mixture_is_told(tmp_path: Path) -> None:
    record = run(tmp_path, baselines="tiny,tiny_too", precision="bfloat16")
    facts = tmp_path / "models/tiny/seed0-fold0/fold.json"
    assert read_json(facts)["machine"] == "cpu, bfloat16"
    assert not any("not all were trained alike" in note for note in record.notes)
    with pytest.raises(InputError, match=r"started with precision = 'bfloat16', but got 'float32'"):
        nas.benchmark(out=tmp_path, resume=True, precision="float32")
    for path in (tmp_path / "models/tiny").glob("*/fold.json"):
        path.write_text(json.dumps(read_json(path) | {"machine": "cuda, bfloat16"}))
    mixed = nas.benchmark(out=tmp_path, resume=True)
    assert "not all were trained alike: on cuda, bfloat16: tiny; on cpu, bfloat16: tiny_too" in mixed.notes


def test_a_benchmark_of_an_earlier_version_is_resumed_with_the_defaults_of_what_it_lacks(tmp_path: Path) -> None:
    run(tmp_path, baselines="tiny")
    path = tmp_path / "benchmark_settings.json"
    stored = read_json(path)
    del stored["precision"]
    path.write_text(json.dumps(stored))
    assert nas.benchmark(out=tmp_path, resume=True, precision="auto").rows[0].test


def test_a_candidate_is_rebuilt_and_trained_like_everyone(tmp_path: Path) -> None:
    from nas.data import Preprocessing
    from nas.evaluation import save_candidate
    from search_spaces import Budget, get_space

    space = get_space("pepx", classes=3, image_size=32)
    architecture = space.sample(np.random.default_rng(0), Budget.parse("2M", image_size=32))
    save_candidate(
        tmp_path / "candidate", model=space.build(architecture, 32), architecture=architecture,
        preprocessing=Preprocessing(image_size=32), classes=("normal", "pneumonia", "covid"),
    )  # fmt: skip
    record = run(tmp_path / "out", models=tmp_path / "candidate", baselines="tiny", recipe="paper")
    first = record.rows[0]
    assert (first.kind, first.name) == ("candidate", architecture.key)
    assert first.cost is not None
    assert first.cost.flops == space.cost(architecture, 32).flops
    assert any("candidate brings no split of its own" in note for note in record.notes)
    assert any(f"{architecture.key} − tiny" in note for note in record.notes)
    assert record.rows[1].recipe == "paper"


def test_shared_pretraining_starts_everyone_from_the_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.evaluation.pretraining.PHANTOM_IMAGES", 30)
    monkeypatch.setattr("nas.evaluation.pretraining.PHANTOM_EPOCHS", 1)
    record = run(tmp_path, baselines="tiny,detrac:backbone=squeezenet", pretraining="shared")
    assert [row.pretraining for row in record.rows[:2]] == ["shared", "shared"]
    assert not record.rows[1].failed
    assert (tmp_path / "models" / "tiny" / "pretraining-seed0.safetensors").exists()


def test_imagenet_weights_are_marked_and_not_compared(tmp_path: Path) -> None:
    from baselines.torchvision_import import torchvision_models

    torch.save(torchvision_models().squeezenet1_0(weights=None).state_dict(), tmp_path / "squeezenet1_0-b66bff10.pth")
    record = run(tmp_path / "out", baselines="sgdm_squeezenet,tiny", pretraining=f"imagenet:{tmp_path}")
    assert [row.pretraining for row in record.rows[:2]] == ["imagenet", "none"]
    assert {one.conclusion for one in record.comparisons} == {"not compared"}
    missing = run(tmp_path / "no", baselines="sgdm_squeezenet,tiny", pretraining=f"imagenet:{tmp_path / 'empty'}")
    assert "with ImageNet weights; name the one that squeezenet1_0-b66bff10.pth lies in" in missing.rows[0].failed


def test_bad_input_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    for settings, message in (
        ({"baselines": "vgg"}, "unknown baseline 'vgg'"),
        (
            {"baselines": "detrac:backbone=alexnet"},
            "image size 32 is too small for detrac:backbone=alexnet; it needs at least 63",
        ),
        ({"baselines": "tiny", "recipe": "mine"}, "setting 'recipe'"),
        ({"baselines": "tiny", "pretraining": "lots"}, "setting 'pretraining'"),
        ({"baselines": "tiny", "fold": 3}, "unknown setting 'fold'"),
        ({"models": tmp_path / "none", "baselines": "tiny"}, "neither a finished search"),
        ({"baselines": "", "models": ()}, "needs at least one model"),
    ):
        with pytest.raises(InputError, match=message):
            run(tmp_path / str(abs(hash(message))), **settings)


def test_splits_that_the_data_bring_may_be_dealt_afresh() -> None:
    from nas.data import load
    from nas.jobs.benchmark_arena import agreed_parts
    from nas.jobs.benchmark_settings import BenchmarkSettings

    brought = replace(load("phantom:n=90", image_size=32), split=np.full(90, "test"))
    with pytest.raises(InputError, match="--splits fresh"):
        agreed_parts(BenchmarkSettings(), brought)
    parts, *_ = agreed_parts(BenchmarkSettings(splits="fresh"), brought)
    assert len(parts.train) > len(parts.test) > 0


def test_folds_and_settings_are_written_down(tmp_path: Path) -> None:
    run(tmp_path, baselines="tiny")
    stored = read_json(tmp_path / "benchmark_settings.json")
    assert stored["folds"] == 2
    assert read_json(tmp_path / "models" / "tiny" / "seed0-fold0" / "fold.json")["pretraining"] == "none"
    assert not (tmp_path / "models" / "tiny" / "seed0-fold0" / "checkpoints").exists()


def test_each_model_gets_the_rate_that_validation_picks(tmp_path: Path) -> None:
    record = run(tmp_path, baselines="tiny", learning_rates=(1e38, 1e-2, 1e-7), epochs=2)
    losses = read_json(tmp_path / "models" / "tiny" / "learning_rates.json")
    assert losses["1e+38"] is None  # it diverged, which ends nothing
    best = min((loss, rate) for rate, loss in losses.items() if loss is not None)[1]
    assert f"learning rate {float(best):g} picked" in record.rows[0].note
    second = read_json(tmp_path / "models" / "tiny" / "seed0-fold1" / "fold.json")
    assert second["epochs"] == 2
    with pytest.raises(ToolkitError, match="no model could be trained: tiny: seed0-fold0"):
        run(tmp_path / "hopeless", baselines="tiny", learning_rates=(1e38,))
