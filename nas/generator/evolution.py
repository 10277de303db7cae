"""Regularised evolution (Real et al., AAAI 2019) among feasible networks: the oldest die, the best of a sample has a child."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from nas.generator.candidates import distinct_samples
from nas.generator.costs import admits
from nas.generator.fallback import draw_independent
from nas.generator.history import ASKING, History, HistoryReader, write_proposal
from nas.generator.registry import register_sampler
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

TRIES = 50


@register_sampler("evolution")
class RegularisedEvolution(BaseSampler):
    """Mutates the best of a random sample of the youngest networks; infeasible and repeated children are drawn again.

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
        space.bounded(budget)  # refuses a bound on a cost that it does not declare
        self._space, self._budget, self._seed = space, budget, seed
        self._population, self._sample = population, sample
        self._reader = HistoryReader(space, use_audit=False)
        self._distributions = {name: CategoricalDistribution(choices) for name, choices in space.decisions.items()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if all(search_space.get(name) == distribution for name, distribution in self._distributions.items()):
            with ASKING:
                history = self._reader.read(study, trial)
                network = self._propose(history, np.random.default_rng([self._seed, len(history.seen) + history.unnamed]))
                write_proposal(study, trial, network, self._space)
            values = {name: network[name] for name in self._distributions}
        rest = {name: d for name, d in search_space.items() if name not in values}
        return values | {name: self.sample_independent(study, trial, name, d) for name, d in rest.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if len(study.directions) > 1 and StudyDirection.NOT_SET in study.directions:
            raise InputError("a study of several objectives must state all directions")
        return draw_independent(self._seed, trial.number, param_name, param_distribution)

    def _propose(self, history: History, rng: np.random.Generator) -> Architecture:
        living = history.observations[-self._population :]
        if len(history.observations) >= self._population:
            for _ in range(TRIES):
                rivals = [living[i] for i in rng.choice(len(living), size=self._sample, replace=False)]
                parent = max(rivals, key=lambda o: (o.violation <= 0, o.values[0]))
                child = self._space.mutate(parent.architecture, rng, self._budget)
                if child.key not in history.seen and admits(self._space, self._budget, child):
                    return child
        fresh = distinct_samples(self._space, self._budget, 1, rng, fill=False, exclude=history.seen)
        return fresh[0] if fresh else self._space.sample(rng, self._budget)
