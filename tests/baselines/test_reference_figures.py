"""The sizes that the sources publish, or that follow from them by arithmetic, at their papers' input sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from baselines import Baseline, Recipe, get_baseline
from baselines.costs import Size, size_of
from search_spaces.counting import count


def counted(name: str, image_size: int) -> Size:
    """With three classes, as the reference figures are."""
    return size_of(get_baseline(name), image_size, classes=3)


@pytest.mark.parametrize(
    ("name", "size", "parameters", "flops"),
    [
        ("vgg19", 480, 20.370e6, 89.58e9),
        ("resnet50", 480, 24.890e6, None),
        ("cnn_lstm", 224, 17.84e6, 13.60e9),
        ("cnn", 224, 15.74e6, None),
        ("sgdm_squeezenet", 227, 0.737e6, 0.746e9),
        ("covidiagnosis_net", 227, 0.737e6, 0.746e9),
        ("covidnet", 480, 11.80e6, 7.50e9),
        ("covidnet_small", 224, 117.543e6, 2.235e9),
    ],
)
def test_reference_figures_to_a_thousandth(name: str, size: int, parameters: float, flops: float | None) -> None:
    found = counted(name, size)
    assert found.parameters == pytest.approx(parameters, rel=1e-3)
    if flops is not None:
        assert found.flops == pytest.approx(flops, rel=1e-3)


def test_the_lstm_is_counted_by_hand() -> None:
    """The LSTM takes 49 steps, each 4 gates of 512 units over 512 inputs and 512 states; the layer of 64 then reads 49 of each 1."""
    lstm = 4 * 512 * 1024 * 49
    assert counted("cnn_lstm", 224).flops - counted("cnn", 224).flops == lstm


def test_efficientnet_lite0_has_its_published_size() -> None:
    found = size_of(get_baseline("efficientnet_lite0"), classes=1000)
    assert found.parameters == pytest.approx(4.65e6, rel=2e-3)
    assert found.flops == 385_187_552
    assert (0.407e9 - found.flops) / _normalised_elements("efficientnet_lite0", 224) == pytest.approx(3, abs=0.3)


def _normalised_elements(name: str, image_size: int) -> int:
    """Elements that pass through the network's normalisations, for one image."""
    sizes: list[int] = []
    with torch.device("meta"):
        model = get_baseline(name).build(1000, 3, image_size).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_hook(lambda _, __, out: sizes.append(out.numel()))
        model(torch.empty(1, 1, image_size, image_size))
    return sum(sizes)


@pytest.mark.parametrize("name", ["cnn_lstm", "covidnet_cxr2", "mobilenet_v3", "detrac", "sgdm_squeezenet"])
def test_the_quick_count_equals_the_referee(name: str) -> None:
    baseline = get_baseline(name)
    with torch.no_grad():
        slow = count(baseline.build(3, 3, 64), 64)
    assert size_of(baseline, 64, 3)[:2] == (slow.flops, slow.parameters)


def test_published_sizes_stand_beside_ours() -> None:
    for name in ("vgg19", "resnet50", "covidnet", "covidnet_small", "covidnet_cxr2"):
        baseline = get_baseline(name)
        ours = size_of(baseline)
        assert ours.parameters / 1e6 == pytest.approx(baseline.published["parameters"].value, rel=0.02)
        assert ours.flops / 1e9 == pytest.approx(baseline.published["flops"].value, rel=0.07)


@pytest.mark.parametrize("read", [lambda rates: rates.tolist(), lambda rates: rates.numpy()], ids=["list", "array"])
def test_a_network_that_reads_values_while_it_is_built_is_counted_in_earnest(read):
    """Tensors that are shapes alone have no values: rates of dropped paths are often read from ``torch.linspace``."""

    class Paths(nn.Module):
        def __init__(self, classes: int, in_channels: int, image_size: int) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, classes)
            self.dropout = nn.Dropout(float(read(torch.linspace(0, 0.1, 4))[-1]))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.fc(self.dropout(self.conv(images).mean(dim=(2, 3))))

    found = size_of(Baseline("paths", "Paths", Paths, Recipe(), paper_size=32), classes=5)
    assert found == Size(9 * 4 * 32 * 32 + 4 * 5, 9 * 4 + 4 + 5 * 5, 32, 5)
