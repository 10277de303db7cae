"""Optuna's published contract for samplers, for each of ours.

Left out: ``SingleOnlySamplerTestCase`` (a sampler that refuses several objectives): all of ours take several.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from generator_small_space import BUDGET, small_space
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from nas.generator import make_sampler


class TestGeneratorContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: make_sampler("generator", small_space(2), BUDGET, 0)


class TestEvolutionContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: make_sampler("evolution", small_space(2), BUDGET, 0)


class TestFeasibleTpeContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: make_sampler("tpe", small_space(2), BUDGET, 0)
