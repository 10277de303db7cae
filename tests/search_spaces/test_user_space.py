"""A user's own space: few lines, and everything else follows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from search_spaces import Budget, InputError
from search_spaces.counting import count
from search_spaces.staged import StagedSpace


class Tiny(StagedSpace):
    """Two stages of plain convolutions."""

    name = "tiny"
    top: ClassVar = {"stem.width": (8, 16, 32)}
    depths, widths = (3, 3), ((8, 16, 32), (16, 32, 64))
    block: ClassVar = {"kernel": (3, 5)}

    def _specs(self, values, in_channels, classes):
        channels = values[self._at("stem.width")]
        specs = [("unit", in_channels, channels, 3, 2)]
        for stage, width in enumerate(self._width):
            for place, first in enumerate(self._alive(values, stage)):
                specs.append(("unit", channels, values[width], values[first], 1 if place else 2))
                channels = values[width]
        return [*specs, ("head", channels, classes)]

    @staticmethod
    def _operations(spec, size):
        if spec[0] == "head":
            return (("gap",), ("linear", *spec[1:], True)), None
        _, inputs, outputs, kernel, stride = spec
        return (("conv", inputs, outputs, kernel, stride, 1, False), ("norm", outputs), ("act", "relu")), None


def test_a_users_space_inherits_exact_costs_budgets_and_builds():
    space, rng, budget = Tiny(image_size=32), np.random.default_rng(0), Budget(flops=1e6)
    for architecture in space.sample_many(40, rng, budget)[:3]:
        network, cost = space.build(architecture), space.cost(architecture)
        assert network(torch.rand(2, 1, 32, 32)).shape == (2, 3)
        counted = count(network, 32)
        assert (counted.flops, counted.parameters, counted.memory) == (cost.flops, cost.parameters, cost.memory)
        assert budget.admits(space.cost(space.mutate(architecture, rng, budget)))


def test_a_block_that_branches_on_a_number_is_refused_with_the_remedy():
    class Branching(Tiny):
        @staticmethod
        def _operations(spec, size):
            return Tiny._operations(("unit", spec[1], spec[2] if spec[2] > 8 else 8, *spec[3:]), size)

    with pytest.raises(InputError, match=r"write larger\(a, b\)"):
        Branching(image_size=32).smallest()
