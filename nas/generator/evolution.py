"""Regularised evolution (Real et al., AAAI 2019) among feasible networks: the oldest die, the best of a sample has a child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import StudyDirection

from nas.generator.asking import NetworkSampler
from nas.generator.candidates import any_network, is_new
from nas.generator.fallback import draw_independent
from nas.generator.history import History, imposed
from nas.generator.registry import register_sampler
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

TRIES = 50


@register_sampler("evolution")
class RegularisedEvolution(NetworkSampler):
    """Mutates the best of a random sample of the 25 youngest networks; the first 25 are random.

    Infeasible and repeated children are drawn again. Of several objectives each child goes by one, drawn at random.

    Args:
        space, budget, seed: as for every sampler.
        population: how many of the latest networks live.
        sample: how many of them compete to be the parent.
    """

    def __init__(
        self, space: SearchSpace, budget: Budget | None, seed: int = 0, *, population: int = 25, sample: int = 5
    ) -> None:
        if not 1 <= sample <= population:
            raise InputError(f"evolution with sample={sample} and population={population}; sample must be 1 to population")
        super().__init__(space, budget)
        self._seed, self._population, self._sample = seed, population, sample

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if len(study.directions) > 1 and StudyDirection.NOT_SET in study.directions:
            raise InputError("a study of several objectives must state all directions")
        return draw_independent(self._seed, trial.number, param_name, param_distribution)

    def _network(self, study: Study, trial: FrozenTrial, history: History) -> Architecture:
        rng = np.random.default_rng([self._seed, len(history.seen) + history.unnamed])
        living = history.observations[-self._population :]
        if len(history.observations) >= self._population:
            objectives = len(living[0].values)
            for _ in range(TRIES):
                objective = int(rng.integers(objectives)) if objectives > 1 else 0
                rivals = [living[i] for i in rng.choice(len(living), size=self._sample, replace=False)]
                parent = max(rivals, key=lambda o: (o.violation <= 0, o.values[objective]))
                child = imposed(self._space.mutate(parent.architecture, rng, self._budget), history.fixed, self._space)
                if child is not None and is_new(self._space, self._budget, child, history):
                    return child
        return any_network(self._space, self._budget, history, rng)
