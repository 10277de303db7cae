"""Optuna's samplers, kept inside the budget: an over-budget or repeated proposal is drawn again, then mended.

None of them knows a hard bound, so none is told of one: what is over the budget never becomes a trial, and so is never fed
back as pruned or infeasible, which would teach them that the budget's edge, where the best networks are, is bad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from nas.generator.asking import NetworkSampler
from nas.generator.candidates import any_network, distinct_samples, is_new
from nas.generator.fallback import draw_independent
from nas.generator.history import History, imposed
from nas.generator.registry import register_sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

ATTEMPTS = 10
STEPS = 50  # mutations away from a repeated proposal before a random network is taken


class FeasibleSampler(NetworkSampler):
    """Any Optuna sampler, made to propose networks inside a budget, none twice.

    Args:
        inner: proposes values for the space's decisions.
        space, budget, seed: as for every sampler.
        attempts: how often the inner sampler is asked before its proposal is repaired to the budget and mutated until new.
    """

    def __init__(
        self, inner: BaseSampler, space: SearchSpace, budget: Budget | None, seed: int, attempts: int = ATTEMPTS
    ) -> None:
        super().__init__(space, budget)
        self.inner, self._seed, self._attempts = inner, seed, attempts

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()

    def _network(self, study: Study, trial: FrozenTrial, history: History) -> Architecture:
        for _ in range(self._attempts):
            asked = self._space.architecture(self._ask(study, trial))
            network = imposed(asked, history.fixed, self._space)
            if network is not None and is_new(self._space, self._budget, network, history):
                return network
        rng = np.random.default_rng([self._seed, len(history.seen)])
        if self._budget is not None:
            asked = self._space.repair(asked, self._budget, rng)
        return self._move_away(asked, history, rng)

    def _ask(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """One proposal of the inner sampler: what it knows relatively, and the rest independently."""
        known = self.inner.infer_relative_search_space(study, trial)
        known = {name: d for name, d in known.items() if name in self._distributions}
        values = self.inner.sample_relative(study, trial, known)
        return {
            name: values[name] if name in values else self.inner.sample_independent(study, trial, name, distribution)
            for name, distribution in self._distributions.items()
        }

    def _move_away(self, start: Architecture, history: History, rng: np.random.Generator) -> Architecture:
        for _ in range(STEPS):
            network = imposed(start, history.fixed, self._space)
            if network is not None and is_new(self._space, self._budget, network, history):
                return network
            start = self._space.mutate(start, rng, self._budget)
        return any_network(self._space, self._budget, history, rng)


class RandomSearch(FeasibleSampler):
    """Feasible networks at random, none twice; each draw depends on the seed and the networks seen, not on this object's past.

    So a search that was interrupted goes on exactly as if it had not been.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None, seed: int) -> None:
        super().__init__(RandomSampler(seed), space, budget, seed)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return draw_independent(self._seed, trial.number, param_name, param_distribution)

    def _network(self, study: Study, trial: FrozenTrial, history: History) -> Architecture:
        rng = np.random.default_rng([self._seed, len(history.seen)])
        found = distinct_samples(self._space, self._budget, 1, rng, fill=False, history=history)
        return found[0] if found else self._move_away(self._space.sample(rng, self._budget), history, rng)


@register_sampler("random")
def random_search(space: SearchSpace, budget: Budget | None, seed: int = 0) -> BaseSampler:
    """Uniform over structure, feasible, without repeats."""
    return RandomSearch(space, budget, seed)


@register_sampler("tpe")
def tpe(space: SearchSpace, budget: Budget | None, seed: int = 0, **options: Any) -> BaseSampler:
    """Optuna's tree-structured Parzen estimator, as Optuna sets it."""
    return FeasibleSampler(TPESampler(seed=seed, **options), space, budget, seed)


@register_sampler("gp")
def gp(space: SearchSpace, budget: Budget | None, seed: int = 0, **options: Any) -> BaseSampler:
    """Optuna's Gaussian process, as Optuna sets it."""  # which proposes the same point when asked again: asked once
    return FeasibleSampler(GPSampler(seed=seed, **options), space, budget, seed, attempts=1)


@register_sampler("nsga2")
def nsga2(space: SearchSpace, budget: Budget | None, seed: int = 0, population_size: int = 20, **options: Any) -> BaseSampler:
    """Optuna's NSGA-II with a population that suits a few hundred evaluations."""
    return FeasibleSampler(NSGAIISampler(population_size=population_size, seed=seed, **options), space, budget, seed)
