"""Trainings of other people's networks: what is wrong with one stays in its row, and is told before it is trained."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nas
from baselines import Baseline, Recipe, get_baseline, register_baseline
from baselines.registry import _registry
from nas.files import WriteError
from nas.jobs.cost import cost
from nas.jobs.models import resolve_model

SETTINGS: dict[str, Any] = {
    "data": "phantom:n=120", "image_size": 32, "folds": 2, "epochs": 1, "learning_rates": (), "device": "cpu",
}  # fmt: skip


MODULE = """
from torch import nn
from baselines import Baseline, Recipe, register_baseline

def build(classes, in_channels, image_size):
    return nn.Sequential(nn.Conv2d(1, 4, 5, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

register_baseline(Baseline("mine", "Mine", build, Recipe(name="paper", epochs=1), paper_size=32, paper_channels=1))
"""
SAME = nn.Identity()


class Network(nn.Module):
    """A convolution, the average, a linear layer, then ``last``; in training ``first`` sees the images."""

    def __init__(self, outputs: int, first: Callable[[Any], Any] = SAME, last: Callable[[Any], Any] = SAME) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3, stride=2), nn.Linear(4, outputs)
        self.first, self.last = first, last

    def forward(self, images: torch.Tensor) -> Any:
        if self.training:
            self.first(images)
        return self.last(self.fc(torch.relu(self.conv(images)).mean(dim=(2, 3))))


def refuses(_: torch.Tensor) -> None:
    raise ValueError("more than one value a channel")


BUILDS: dict[str, Callable[[int], nn.Module]] = {
    "fine": Network,
    "few": lambda classes: Network(classes - 1),
    "many": lambda classes: Network(classes + 1),
    "pair": lambda classes: Network(classes, last=lambda logits: (logits, None)),
    "raises": lambda classes: Network(classes, first=refuses),
    "fourier": lambda classes: Network(classes, last=lambda logits: torch.fft.fft(logits).abs()),
}


@pytest.fixture(autouse=True)
def other_peoples_baselines() -> Iterator[None]:
    get_baseline("cnn")  # ours are listed first
    for name, make in BUILDS.items():
        build = lambda classes, in_channels, image_size, make=make: make(classes)  # noqa: E731
        register_baseline(Baseline(name, name, build, Recipe(name="paper", epochs=1), paper_size=32))
    yield
    for name in BUILDS:
        del _registry._entries[name]


class Heard:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def test_whatever_a_network_raises_stays_in_its_row(tmp_path: Path) -> None:
    record = nas.benchmark(baselines="fine,few,many,pair,raises", out=tmp_path, **SETTINGS)
    failed = {row.name: row.failed for row in record.rows}
    assert not failed["fine"]
    assert record.rows[0].test
    assert "logits (1, 3), but got (1, 2)" in failed["few"]
    assert "logits (1, 3), but got (1, 4)" in failed["many"]
    assert "logits (1, 3), but got a tuple" in failed["pair"]
    assert failed["raises"] == "seed0-fold0: ValueError: more than one value a channel"


def test_an_operator_that_nobody_counts_is_told_before_the_trainings(tmp_path: Path) -> None:
    heard = Heard()
    record = nas.benchmark(baselines="fine,fourier", out=tmp_path, progress=heard, **SETTINGS)
    assert "no rule counts the operator fft_fft" in record.rows[1].failed
    assert not list((tmp_path / "models").glob("fourier/*/fold.json"))


def test_a_disk_that_is_full_ends_the_benchmark_and_fails_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise WriteError("cannot write predictions.safetensors") from OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("nas.jobs.benchmark_training.write_bytes", full)
    with pytest.raises(WriteError):
        nas.benchmark(baselines="fine", out=tmp_path, **SETTINGS)


def test_what_a_benchmark_trained_by_an_imported_module_is_read_without_naming_that_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_networks.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    nas.benchmark(baselines=["mine"], imports="my_networks", out=tmp_path / "benchmark", **SETTINGS)
    del _registry._entries["mine"]
    monkeypatch.delitem(sys.modules, "my_networks")  # as another process
    place = tmp_path / "benchmark" / "models" / "mine" / "seed0-fold0"
    assert resolve_model(str(place)).classes == ("normal", "pneumonia", "covid")
    assert cost(str(place / "architecture.json"))["parameters"] == 25 * 4 + 4 + 5 * 3
    del _registry._entries["mine"]
    monkeypatch.delitem(sys.modules, "my_networks")
    again = nas.benchmark(baselines="mine", out=tmp_path / "benchmark", resume=True)
    assert (again.rows[0].name, again.rows[0].failed) == ("mine", "")
    del _registry._entries["mine"]
