"""The published designs as points of the space: sizes to 0.1 % of the reconstructions' own figures."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import ArchitectureError, Budget, get_space
from search_spaces.published import DESIGNS


@pytest.mark.parametrize(
    ("name", "parameters", "flops"),
    [("covidnet", 11.80e6, 7.50e9), ("covidnet_small", 117.543e6, 2.235e9), ("resnet50_like", 23.526e6, 3.480e9)],
)
def test_reconstructions_have_their_figures(name, parameters, flops):
    space = get_space("pepx")
    cost = space.cost(space.prototypes()[name], space.paper_sizes()[name])
    assert cost.parameters == pytest.approx(parameters, rel=1e-3)
    assert cost.flops == pytest.approx(flops, rel=1e-3)


def test_cxr2_is_near_its_published_size():
    space = get_space("pepx", classes=2)
    cost = space.cost(space.prototypes()["covidnet_cxr2"], 480)
    assert cost.parameters == pytest.approx(DESIGNS["covidnet_cxr2"].published["parameters"], rel=0.01)
    assert cost.flops == pytest.approx(DESIGNS["covidnet_cxr2"].published["flops"], rel=0.01)


def test_a_point_of_another_space_is_no_start():
    other = get_space("fire").sample(np.random.default_rng(0))
    with pytest.raises(ArchitectureError, match="is a point of space 'fire', not of 'pepx'"):
        get_space("pepx").adopt(other)


@pytest.mark.parametrize("name", list(DESIGNS))
def test_a_search_may_start_from_a_prototype(name):
    space, rng, budget = get_space("pepx", image_size=96), np.random.default_rng(0), Budget(flops=40e6)
    start = space.adopt(space.prototypes()[name])
    assert (start.in_channels, start.classes) == (1, 3)
    near = space.repair(start, budget, rng)
    assert budget.admits(space.cost(near))
    assert budget.admits(space.cost(space.mutate(near, rng, budget)))
    assert np.all((space.encode(start) >= 0) & (space.encode(start) <= 1))
