"""Zero-cost proxies on networks whose values can be worked out by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation.proxies import grad_norm, naswot, proxies, proxy_function, synflow
from search_spaces import Budget, get_space


def linear(*weights: float) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for weight in weights:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, weight)
        layers += [layer]
    return nn.Sequential(*layers)


def test_synflow_of_a_chain_is_depth_times_product_of_magnitudes() -> None:
    model = linear(2.0, -3.0)
    assert synflow(model, (1, 1, 1)) == pytest.approx(log(2 * 6.0))
    assert model[2].weight.item() == -3.0  # left as it was


def test_synflow_ignores_normalisation_and_survives_depth() -> None:
    deep = nn.Sequential(*[nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)) for _ in range(60)], nn.Flatten())
    for module in deep.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 10.0)
    assert np.isfinite(synflow(deep, (4, 5, 5)))


def test_naswot_prefers_patterns_that_tell_images_apart() -> None:
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    telling, blind = nn.Linear(16, 64), nn.Linear(16, 64)
    with torch.no_grad():
        blind.bias += 100  # every unit is on for every image
    rich = naswot(nn.Sequential(nn.Flatten(), telling, nn.ReLU(inplace=True)), images)
    poor = naswot(nn.Sequential(nn.Flatten(), blind, nn.ReLU()), images)
    assert rich is not None
    assert poor is not None
    assert rich > poor
    assert naswot(linear(1.0), images[:, :, :1, :1]) is None


@pytest.mark.parametrize("proxy", ["synflow", "naswot", "grad_norm"])
def test_a_proxy_leaves_the_model_as_it_was(proxy: str) -> None:
    """Its weights, running statistics, gradients and the modes of its parts, of which one is frozen here."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 2))
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 1])
    value = {
        "synflow": lambda: synflow(model, (1, 4, 4)),
        "naswot": lambda: naswot(model, images),
        "grad_norm": lambda: grad_norm(model, images, labels),
    }[proxy]()
    assert value is not None
    assert np.isfinite(value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model] == [True, False, True, True, True]
    assert model[2].inplace
    assert not any(module._forward_hooks for module in model)


def test_proxies_of_a_searched_network_are_reproducible_and_leave_the_global_generator_alone() -> None:
    space = get_space("pepx", classes=3, image_size=32)
    network = space.sample(np.random.default_rng(0), Budget(flops=2e6, image_size=32))
    images, labels = torch.rand(8, 1, 32, 32), torch.arange(8) % 3
    before = torch.get_rng_state()
    found = proxy_function(space, images, labels, 32)(network)
    assert torch.equal(before, torch.get_rng_state())
    assert set(found) == {"synflow", "naswot", "grad_norm", "parameters"}
    assert all(np.isfinite(value) for value in found.values())
    assert found == proxy_function(space, images, labels, 32)(network)
    assert set(proxies(nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)), images, labels)) == {
        "synflow",
        "grad_norm",
        "parameters",
    }
