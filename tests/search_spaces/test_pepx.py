"""The pepx space: what its cost says is what is built."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search_spaces import Budget, BudgetInfeasibleError, get_space, load_architecture
from search_spaces.pepx import PepxSpace


@pytest.fixture(scope="module")
def space():
    return get_space("pepx", image_size=64)


def test_parameters_equal_the_built_modules(space):
    for architecture in space.sample_many(10, np.random.default_rng(0), Budget(flops=20e6)):
        built = sum(p.numel() for p in space.build(architecture).parameters() if p.requires_grad)
        assert space.cost(architecture).parameters == built


def test_blocks_carry_the_names_of_the_built_modules(space):
    architecture = space.sample(np.random.default_rng(1))
    modules = dict(space.build(architecture).named_modules())
    assert all(block.name in modules for block in space.cost(architecture).blocks)
    for decision in space.active(architecture):
        assert space.block_of(decision) is None or space.block_of(decision) in modules


def test_network_maps_grey_images_to_logits(space):
    architecture = space.sample(np.random.default_rng(2), Budget(flops=8e6))
    assert space.build(architecture)(torch.rand(2, 1, 64, 64)).shape == (2, 3)


def test_json_round_trip_is_identity(space):
    architecture = space.sample(np.random.default_rng(3))
    again = load_architecture(architecture.to_json())
    assert again == architecture
    assert again.choices == architecture.choices


def test_a_budget_below_the_smallest_names_it(space):
    with pytest.raises(BudgetInfeasibleError, match="smallest reachable") as caught:
        space.sample(np.random.default_rng(0), Budget(flops=1000))
    assert caught.value.smallest == space.smallest()


@pytest.mark.parametrize(
    "choices", [{"stage1.depth": (2, 4)}, {"stage1.depth": (3,), "stage2.depth": (3,), "stage3.depth": (2,)}]
)
@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_a_space_of_deep_stages_repairs_shallow_networks_to_its_budget(choices, factor):
    space, whole, rng = PepxSpace(choices=choices), PepxSpace(), np.random.default_rng(0)
    for bound, least in space.smallest().items():
        budget = Budget(**{bound: least * factor})
        assert all(budget.admits(space.cost(space.repair(a, budget, rng))) for a in whole.sample_many(60, rng))


@pytest.mark.parametrize("classes", [2, 5])
def test_where_the_last_map_is_one_pixel_a_flattened_head_without_a_bias_is_the_smallest(classes):
    space, rng = get_space("pepx", classes=classes, image_size=32), np.random.default_rng(0)
    least = space.smallest()["parameters"]
    network = space.sample(rng, Budget(parameters=least))
    assert (network["head.pool"], space.cost(network).parameters) == ("flatten", least)
    pooled = space.architecture({**network, "head.pool": "gap"})
    assert space.cost(pooled).parameters == least + classes
    with pytest.raises(BudgetInfeasibleError, match=f"smallest reachable {least:,}"):
        space.sample(rng, Budget(parameters=least - 1))
    one_pixel = {"head.layers": (0,), "stem.stride": (2,), "stem.pool": ("max3",)}
    largest = [
        PepxSpace(classes, image_size=32, choices={**one_pixel, "head.pool": pooling}).largest()["parameters"]
        for pooling in (("gap", "flatten"), ("gap",), ("flatten",))
    ]
    assert largest[0] == largest[1] == largest[2] + classes
