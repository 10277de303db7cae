"""How networks start: what keeps long stretches without a shortcut trainable, and what is left as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import get_space, modules

SIZE = 48


def network(seed: int = 0, **wanted) -> nn.Module:
    """A PEPX network of many blocks with these decisions."""
    space = get_space("pepx", image_size=SIZE)
    drawn = space.sample(np.random.default_rng(seed))
    depths = {"stage1.depth": 4, "stage2.depth": 5, "stage3.depth": 6}
    torch.manual_seed(seed)
    return space.build(space.architecture({**drawn.choices, **depths, "head.layers": 1, **wanted}), SIZE)


def shifts(model: nn.Module) -> set[float]:
    return {round(norm.bias[0].item(), 6) for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)}


def gradients_growth(model: nn.Module) -> float:
    """Mean square of the gradient that reaches the stem's output, over that at the last block's."""
    found: dict[str, float] = {}

    def keep(name):
        def hook(module, args, out):
            out.register_hook(lambda grad: found.__setitem__(name, grad.pow(2).mean().item()))

        return hook

    first, last = model.block_names[0], model.block_names[-2]
    for name in (first, last):
        model.get_submodule(name).register_forward_hook(keep(name))
    x = torch.rand(16, 1, SIZE, SIZE)
    nn.functional.cross_entropy(model.train()(x), torch.arange(16) % 3).backward()
    return found[first] / found[last]


def test_a_relu_behind_normalisation_multiplies_gradients_as_published_and_less_when_shifted():
    assert modules.gradient_gain(0.0) == pytest.approx(math.pi / (math.pi - 1))  # Yang et al. 2019
    x = np.random.default_rng(0).normal(1.0, 1.0, 2_000_000)
    assert modules.gradient_gain(1.0) == pytest.approx((x > 0).mean() / np.maximum(x, 0).var(), rel=1e-2)
    gains = [modules.gradient_gain(shift) for shift in np.linspace(0, 4, 30)]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == pytest.approx(1.0, abs=1e-3)


def test_stretches_without_a_shortcut_are_shifted_just_as_far_as_needed():
    model = network(long_range="off")
    (shift,) = shifts(model)
    steps = len([norm for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)])
    assert modules.gradient_gain(shift) ** steps == pytest.approx(modules._GROWTH, rel=0.1)


def test_short_stretches_and_residual_networks_start_unshifted():
    assert shifts(network(long_range="add")) == {0.0}
    short = {f"stage{stage}.depth": 1 for stage in (1, 2, 3, 4)} | {
        f"stage{stage}.block1.kind": "plain" for stage in (1, 2, 3, 4)
    }
    assert shifts(network(long_range="off", **short)) == {0.0}


def test_gradients_of_a_deep_plain_network_no_longer_explode(monkeypatch):
    calmed = gradients_growth(network(long_range="off"))
    monkeypatch.setattr(modules, "_calm", lambda stretch: None)
    assert gradients_growth(network(long_range="off")) > 100 * calmed


def test_the_head_starts_near_equal_odds():
    logits = network(long_range="add").eval()(torch.rand(4, 1, SIZE, SIZE))
    assert logits.abs().max() < 0.5
