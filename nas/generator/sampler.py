"""``GeneratorSampler``: the generator as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.generator.asking import NetworkSampler
from nas.generator.fallback import draw_independent
from nas.generator.generator import Generator
from nas.generator.history import History
from nas.generator.options import GeneratorOptions
from nas.generator.registry import register_sampler
from nas.generator.representation import Proxies
from nas.generator.state import dump_state, load_state
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace


@register_sampler("generator")
class GeneratorSampler(NetworkSampler):
    """Generative synthesis as an Optuna sampler: proposes networks inside a budget, none twice.

    Threads (``n_jobs``) take turns to ask, so that none repeats another's network; processes that share a study do not, and
    ``nas search`` settles which of two equal proposals is trained.

    A surrogate (a Gaussian process over several views of an architecture) learns from the finished trials which network to
    train next, by expected improvement; a distribution over decisions, θ_G, follows the best ones (``synthesis.py`` has the
    equations). Directions, several objectives (scalarised in random directions) and constraints come from the study.

    What it reads of a trial: its parameters named after the space's decisions, and the user attributes ``architecture``
    (what was really trained), ``standard_error`` and ``block_importances``; each may be absent. Choices that a trial brings
    itself (enqueued, or fixed by ``PartialFixedSampler``) stay, and the others are proposed such that the budget holds, if it
    can. Parameters that are no decisions of the space are drawn independently, at random.

    Args:
        space, budget: ``budget=None`` leaves the cost free.
        seed: of all random streams, together with the index of the proposal. The same history gives the same proposal, in
            any process.
        prototype: first proposal and start of θ_G, with the space's ``in_channels`` and ``classes``. Of a published design that
            lies between the choices, ``space.suggest`` gives the nearest ones inside the budget; ``nas search`` trains the design.
        proxies: function from an architecture to named zero-cost scores, whose weight is learnt.
        **options: see ``GeneratorOptions``.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        *,
        prototype: Architecture | None = None,
        proxies: Proxies | None = None,
        **options: Any,
    ) -> None:
        known = GeneratorOptions.of(options)
        super().__init__(space, budget, use_audit=known.use_audit)
        self.generator = Generator(space, budget, seed, prototype=prototype, proxies=proxies, options=known)
        self._learnt = self._carried = History((), (), frozenset())

    @property
    def log(self) -> list[dict[str, Any]]:
        """One JSON-able entry per update of θ_G: what moved, towards what, because of which networks."""
        return self.generator.log

    def _network(self, study: Study, trial: FrozenTrial, history: History) -> Architecture:
        history = self._joined(study, history)
        self._learnt = replace(history, fixed={})
        return self.generator.propose(history, len(history.seen) + history.unnamed)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return draw_independent(self.generator.seed, trial.number, param_name, param_distribution)

    def learn(self, study: Study) -> None:
        """Take in all finished trials of a study, as the next proposal would."""
        self._learnt = self._joined(study, self._reader.read(study))
        self.generator.learn(self._learnt.observations)

    def generate(self, n: int, budget: Budget | None = None) -> list[Architecture]:
        """``n`` further distinct networks, best first, as learnt so far; ``budget``: another one than the search's."""
        return self.generator.generate(n, self._learnt, budget)

    def state(self) -> dict[str, Any]:
        """Everything that was learnt, as plain data for a JSON file."""
        return dump_state(self.generator, self._learnt)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], space: SearchSpace, proxies: Proxies | None = None) -> GeneratorSampler:
        """A sampler that has learnt what ``state()`` wrote down.

        In a study it goes on from there: where that study does not know the networks itself, their scores stand before its own.

        Raises:
            InputError: the state is of another space or format; later, where a study has another number of objectives.
        """
        generator, learnt = load_state(state, space, proxies)
        sampler = cls(space, generator.budget, generator.seed, use_audit=generator.options.use_audit)
        sampler.generator, sampler._learnt, sampler._carried = generator, learnt, learnt
        return sampler

    def _joined(self, study: Study, history: History) -> History:
        """With what a saved state knows of networks that the study does not know."""
        before, objectives = self._carried, len(study.directions)
        if before.observations and len(before.observations[0].values) != objectives:
            raise InputError(
                f"generator state has {len(before.observations[0].values)} scores a network, but the study has {objectives} objectives; "
                "give it a study like the one that it is of"
            )
        earlier = tuple(o for o in before.observations if o.architecture.key not in history.seen)
        return replace(history, observations=(*earlier, *history.observations), seen=history.seen | before.seen)

    def _told(self, network: Architecture) -> dict[str, Any]:
        """Of a published point that lies between the choices, the nearest ones inside the budget."""
        space, budget = self._space, self._budget
        if all(network[name] in choices for name, choices in space.decisions.items()):
            return network.choices
        near = {
            name: network[name] if network[name] in choices else choices[round(place * (len(choices) - 1))]
            for (name, choices), place in zip(space.decisions.items(), space.encode(network).tolist(), strict=True)
        }
        found = space.architecture(near)
        return (found if budget is None else space.repair(found, budget, np.random.default_rng(0))).choices
