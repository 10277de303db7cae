"""The counter for any module, against figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import InputError, UncountedOperatorError, get_space
from search_spaces.counting import count
from search_spaces.table import architecture_table, module_table, space_table


class Sequence(nn.Module):
    """Rows of the image as a sequence of 49 steps with 64 features."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        rows = x.flatten(2)
        return self.inner(rows, rows, rows)[0] if isinstance(self.inner, nn.MultiheadAttention) else self.inner(rows)[0]


STEP = 4 * 128 * (64 + 128)


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (nn.LSTM(64, 128, batch_first=True), 49 * STEP),
        (nn.LSTM(64, 128, batch_first=True, bias=False), 49 * STEP),
        (nn.LSTM(64, 128, batch_first=True, bidirectional=True), 49 * 2 * STEP),
        (nn.LSTM(64, 128, batch_first=True, num_layers=2), 49 * (STEP + 4 * 128 * 256)),
        (nn.GRU(64, 128, batch_first=True), 49 * STEP * 3 // 4),
        (nn.MultiheadAttention(64, 4, batch_first=True), 49 * 64 * 64 * 4 + 2 * 49 * 49 * 64),
    ],
)
def test_recurrent_layers_and_attention_equal_the_hand_computed_figure(layer, flops):
    image = torch.nn.Sequential(nn.ConstantPad2d(0, 0.0), Sequence(layer))
    assert count(Rows(image), 56).flops == flops


class Rows(nn.Module):
    """(1, 1, 56, 56) → (1, 49, 64): as many values, in another shape."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.reshape(1, 49, 8, 8))


def test_a_convolution_by_hand():
    counted = count(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), 10)
    assert counted.flops == 9 * 8 * 100
    assert counted.parameters == 9 * 8 + 8 + 16
    assert counted.other_operations > 0
    assert counted.memory == 4 * (100 + 800 + 800)


@pytest.mark.parametrize(
    "free",
    [
        lambda x: nn.functional.normalize(x, dim=1),
        lambda x: nn.functional.interpolate(x, scale_factor=2, mode="bicubic"),
        lambda x: nn.functional.local_response_norm(x, 5),
        lambda x: nn.functional.logsigmoid(nn.functional.celu(x.square())),
        lambda x: x.sin() * x.numel(),
    ],
)
def test_normalising_resizing_and_activating_cost_no_multiply_accumulates(free):
    class Layer(nn.Module):
        def forward(self, x):
            return free(x)

    assert count(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Layer()), 10).flops == 9 * 8 * 100


def test_an_operator_that_nobody_counts_is_an_error():
    class Fourier(nn.Module):
        def forward(self, x):
            return torch.fft.fft2(x).abs()

    with pytest.raises(UncountedOperatorError, match="fft") as caught:
        count(Fourier(), 8)
    assert caught.value.operators == ("fft_fft2",)


def test_an_image_that_does_not_fit_the_model_is_an_input_error():
    class Wordless(nn.Module):
        def forward(self, x):
            raise ValueError

    for model, said in ((nn.Linear(3, 3), "shapes"), (Wordless(), "ValueError")):
        with pytest.raises(InputError, match=f"cannot run on an image.*{said}"):
            count(model, 8)


def test_counting_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout())
    model[1].eval()
    count(model, 8)
    assert model.training
    assert not model[1].training


@pytest.mark.parametrize("name", ["pepx", "mbconv", "fire"])
def test_tables_of_architecture_and_module_agree(name):
    space = get_space(name, image_size=48)
    architecture = space.sample(np.random.default_rng(0))
    analytic, traced = architecture_table(space, architecture), module_table(space.build(architecture), 48)
    for table in (analytic, traced):
        assert sum(row["flops"] for row in table["layers"]) == table["flops"] == analytic["flops"]
        assert sum(row["parameters"] for row in table["layers"]) == table["parameters"] == analytic["parameters"]
    assert analytic["diversity"] == traced["diversity"]


def test_a_spaces_range():
    table = space_table(get_space("fire"), 64)
    assert table["smallest"]["flops"] < table["largest"]["flops"]
    assert table["image_size"] == 64
