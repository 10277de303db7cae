"""nas cost: whatever has a cost, by whatever name."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from baselines.registry import get_baseline
from nas.data.preprocessing import Preprocessing
from nas.evaluation import save_candidate
from nas.jobs.cost import cost
from nas.report.cost import print_cost
from search_spaces import InputError, UncountedOperatorError, get_space

MODULE = """
import torch
from torch import nn

def good():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 2))

class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).abs()
"""


@pytest.fixture
def architecture():
    return get_space("fire", image_size=48).sample(np.random.default_rng(0))


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_cost(table, console)
    return console.file.getvalue()


def test_an_architectures_file_is_costed_at_the_size_it_was_trained_for(tmp_path, architecture):
    space = get_space("fire", image_size=48)
    save_candidate(
        tmp_path, model=space.build(architecture), architecture=architecture, classes=("a", "b", "c"), metrics=(), history=(),
        preprocessing=Preprocessing(image_size=48),
    )  # fmt: skip
    for wanted, size in ((None, 48), (64, 64)):
        table = cost(str(tmp_path / "architecture.json"), image_size=wanted)
        assert table["flops"] == space.cost(architecture, size).flops
        assert sum(row["flops"] for row in table["layers"]) == table["flops"]
        assert table["blocks"][0]["name"] == "stem"
    (tmp_path / "bare.json").write_text(json.dumps(architecture.to_json()))
    assert cost(str(tmp_path / "bare.json"), image_size=48)["flops"] == space.cost(architecture, 48).flops


@pytest.mark.parametrize("width", [None, 60])
def test_neither_a_pipe_nor_a_narrow_terminal_loses_a_layers_name_or_figure(capsys, width):
    table = cost("covidnet_small", image_size=64)
    console = width and Console(width=width, force_terminal=True, color_system=None)
    print_cost(table, console)
    shown = "".join(capsys.readouterr().out.split())
    assert "…" not in shown
    assert width or all(row["name"] in shown for row in table["layers"])


@pytest.mark.parametrize(
    ("flops", "parameters", "said"),
    [(28_900, 419, "419 parameters, 28.9 kFLOPs"), (7_499_400_000, 11_800_000, "11.800 M parameters, 7,499.4 MFLOPs")],
)
def test_no_network_is_so_small_that_it_is_said_to_cost_nothing(flops, parameters, said):
    table = {"kind": "architecture", "name": "x", "image_size": 40, "flops": flops, "parameters": parameters, "memory": 6700}
    assert said in printed(table)


def test_a_saved_baseline_is_costed_as_it_was_saved(tmp_path):
    model = get_baseline("cnn").build(2, 1, 64)
    save_candidate(
        tmp_path, model=model, baseline={"name": "cnn", "in_channels": 1}, classes=("a", "b"), metrics=(), history=(),
        preprocessing=Preprocessing(image_size=64),
    )  # fmt: skip
    table = cost(str(tmp_path / "architecture.json"))
    assert table["parameters"] == sum(p.numel() for p in model.parameters())
    assert (table["image_size"], table["in_channels"]) == (64, 1)


def test_a_published_design_is_costed_at_its_papers_size():
    table = cost("resnet50_like")
    assert (table["name"], table["image_size"]) == ("resnet50_like", 224)
    assert "resnet50_like at 224 px: 23.526 M parameters" in printed(table)


def test_published_figures_stand_beside_ours_with_the_difference():
    table = cost("mobilenet_v3", image_size=64)
    for figure, value in table["published"].items():
        assert table["difference"][figure] == pytest.approx(table[figure] / value - 1)
        assert f"published {figure}: {value:,.0f}" in printed(table)


def test_a_variant_of_a_baseline_is_costed_by_the_name_that_a_benchmark_takes():
    plain, variant = cost("detrac"), cost("detrac:backbone=vgg19")
    assert (variant["name"], variant["image_size"]) == ("detrac:backbone=vgg19", plain["image_size"])
    assert variant["parameters"] > 5 * plain["parameters"]


def test_a_space_has_a_range_and_no_latency():
    table = cost("fire", image_size=64)
    assert table["smallest"]["flops"] < table["largest"]["flops"]
    assert "smallest reachable, each alone" in printed(table)
    with pytest.raises(InputError, match="--latency does not apply to 'fire'"):
        cost("fire", latency=True)


def test_anyones_module(tmp_path, monkeypatch):
    (tmp_path / "my_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    table = cost("my_module:good", image_size=8, in_channels=3, latency=True)
    assert table["flops"] == 27 * 4 * 64 + 2 * 4 * 64
    assert table["diversity"] == 2
    assert table["latency_ms"]["low"] <= table["latency_ms"]["median"] <= table["latency_ms"]["high"]
    assert "ms for one image" in printed(table)
    with pytest.raises(UncountedOperatorError, match="fft_fft2"):
        cost("my_module:Fourier", image_size=8)
    with pytest.raises(InputError, match="add --image-size"):
        cost("my_module:good")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nosuch", {}, "nothing called 'nosuch'"),
        ("cnn", {"in_channels": 3}, "--channels does not apply to 'cnn'"),
        ("detrac:backbone=vgg19", {"in_channels": 3}, "--channels does not apply to 'detrac:backbone=vgg19'"),
        ("detrac:vgg19", {}, "'vgg19' is not of the form option=value"),
        ("resnet50_like", {"classes": 2}, "--classes does not apply to 'resnet50_like'"),
        ("mbconv", {"classes": 0}, "--classes must be at least 1, but got 0"),
        ("cnn", {"image_size": 0}, "--image-size must be at least 1, but got 0"),
        ("my_module:good", {"in_channels": 0}, "--channels must be at least 1, but got 0"),
        ("fire", {"image_size": 8}, "image size 8 is out of range"),
    ],
)
def test_what_does_not_apply_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        cost(name, **options)


def test_latency_measures_the_network_that_is_costed(tmp_path, architecture):
    (tmp_path / "a.json").write_text(json.dumps(architecture.to_json()))
    table = cost(str(tmp_path / "a.json"), image_size=32, latency=True)
    assert table["latency_ms"]["image_size"] == 32
    assert table["latency_ms"]["threads"] == torch.get_num_threads()
