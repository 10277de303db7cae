"""What samplers of whole networks share: how a trial asks for one, and what it brings itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler

from nas.generator.history import ASKING, History, HistoryReader, read_network, write_proposal

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace


class NetworkSampler(BaseSampler):
    """Proposes all decisions of a space together; the choices that a trial brings itself stay as they are.

    A trial brings choices where it was enqueued with some, or where a sampler around this one fixes them (Optuna's
    ``PartialFixedSampler``). Parameters that are no decisions of the space are drawn independently.

    Args:
        space, budget: ``budget=None`` leaves the cost free.
        use_audit: whether the constraint of the audit's screen is read.

    Raises:
        InputError: the space declares no cost for a bound.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None, *, use_audit: bool = False) -> None:
        space.bounded(budget)
        self._space, self._budget = space, budget
        self._reader = HistoryReader(space, use_audit=use_audit)
        self._distributions = {name: CategoricalDistribution(choices) for name, choices in space.decisions.items()}

    @abstractmethod
    def _network(self, study: Study, trial: FrozenTrial, history: History) -> Architecture:
        """A network inside the budget, with the choices ``history.fixed``, not seen before; another only where there is none."""

    def _told(self, network: Architecture) -> dict[str, Any]:
        """The network's choices as Optuna is told of them."""
        return network.choices

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if any(search_space.get(name) == distribution for name, distribution in self._distributions.items()):
            hidden = {  # from the sampler around this one
                name: study.sampler.sample_independent(study, trial, name, distribution)
                for name, distribution in self._distributions.items()
                if name not in search_space
            }
            with ASKING:
                history = self._reader.read(study, trial, hidden)
                network = read_network(history.fixed, self._space) or self._network(study, trial, history)
                write_proposal(study, trial, network, self._space)
            told = self._told(network)
            values = {name: told[name] for name, d in search_space.items() if self._distributions.get(name) == d}
        rest = {name: d for name, d in search_space.items() if name not in values}
        return values | {name: self.sample_independent(study, trial, name, d) for name, d in rest.items()}
