"""The generator itself, without Optuna: observations in, the next network out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.generator.beliefs import Beliefs, milestones
from nas.generator.candidates import NEAR_EDGE, ROUNDS, Pool, any_network, distinct_samples, evolve, is_new
from nas.generator.columns import Array
from nas.generator.costs import has_edge
from nas.generator.history import History, Observation
from nas.generator.options import GeneratorOptions
from nas.generator.representation import Proxies
from nas.generator.synthesis import GeneratorDistribution, block_weights, elites_of, round_entry

if TYPE_CHECKING:
    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

RIVALS = 24  # random networks of which the start takes the one least known
PARENTS = 12
SHORTLIST = 24  # candidates whose zero-cost proxies are computed, where there are any
FRESH, FRESH_EDGE = 24, 4  # fresh candidates of each proposal: from anywhere and as many from θ_G; near the budget's edge
SCREENED = 400  # random candidates of each proposal as long as little is known


class Generator:
    """Proposes networks of a space within a budget.

    Args:
        space, budget: ``budget=None`` leaves the cost free.
        seed: with the index of a proposal, of all random streams.
        prototype: first proposal and start of θ_G, adopted by the space; ``None`` starts from the whole space.
        proxies: zero-cost scores of an architecture; their weight is learnt.
        options: see ``GeneratorOptions``.

    Raises:
        InputError: the space declares no cost for a bound, or the prototype is a point of another space.

    Attributes:
        distribution: θ_G.
        log: one entry per round: what moved θ_G, and why.
        stood_on: the observations of the last round.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None,
        seed: int = 0,
        *,
        prototype: Architecture | None = None,
        proxies: Proxies | None = None,
        options: GeneratorOptions | None = None,
    ) -> None:
        space.bounded(budget)  # refuses a bound on a cost that it does not declare
        self.space, self.budget, self.seed = space, budget, seed
        self.options = options or GeneratorOptions()
        self.prototype = None if prototype is None else space.adopt(prototype)
        self.proxies = proxies
        self.distribution = GeneratorDistribution(space, self.prototype)
        self.log: list[dict[str, Any]] = []
        self.stood_on: tuple[Observation, ...] = ()
        self._lazy: tuple[Pool, Beliefs] | None = None
        self._proxied: tuple[int, Beliefs] | None = None

    def propose(self, history: History, index: int) -> Architecture:
        """The network to train next; the same history and index give the same network.

        Only where the feasible set is used up does it propose a network again.

        Raises:
            BudgetInfeasibleError: nothing fits the budget.
        """
        rng = np.random.default_rng([self.seed, index])
        first = self.prototype
        if first is not None and not history.fixed and is_new(self.space, self.budget, first, history):
            return first
        self.learn(history.observations)
        started = len(history.seen) >= self.options.initial and len(history.observations) >= 2
        found = self._best(history, rng) if started else self._start(history, rng)
        return found if found is not None else any_network(self.space, self.budget, history, rng)

    def generate(self, n: int, history: History, budget: Budget | None = None) -> list[Architecture]:
        """``n`` further distinct networks, best first, none of them observed; fewer only where no more exist.

        Args:
            budget: another one than the search's; what was learnt is carried over.
        """
        source = self
        if budget is not None and budget != self.budget:
            source = Generator(self.space, budget, self.seed, proxies=self.proxies, options=self.options)
            source.distribution.probabilities = dict(self.distribution.probabilities)
            source.log, source.stood_on = list(self.log), self.stood_on
        made: list[Architecture] = []
        for number in range(n):
            network = source.propose(history, 1_000_000 + number)
            if network.key in history.seen:
                break
            made.append(network)
            history = replace(history, pending=(*history.pending, network), seen=history.seen | {network.key})
        return made

    def learn(self, observations: Sequence[Observation]) -> None:
        """Update θ_G by the rounds that have become due, and log each: so a resumed search has the same θ_G.

        Where the observations do not begin with those of the last round, as those of another study, θ_G starts anew.
        """
        if tuple(observations[: len(self.stood_on)]) != self.stood_on:
            self.distribution, self.log, self.stood_on = GeneratorDistribution(self.space, self.prototype), [], ()
        if len(observations) < self.options.initial:
            return
        rounds = milestones(len(observations), self.options)
        for due in rounds[len(self.log) :]:
            self._round(observations[:due], last=due == rounds[-1])
        self.stood_on = tuple(observations[: rounds[-1]])

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _pool(self) -> Pool:
        return self._prepared()[0]

    @property
    def _beliefs(self) -> Beliefs:
        return self._prepared()[1]

    def _prepared(self) -> tuple[Pool, Beliefs]:
        if self._lazy is None:  # not at construction: a budget that nothing fits is reported when a network is asked for
            pool = Pool.of(self.space, self.budget, self.options)
            self._lazy = pool, Beliefs(pool.representation, self.options)
        return self._lazy

    def _round(self, observations: Sequence[Observation], last: bool) -> None:
        direction = _direction(observations, None)
        scores = self._beliefs.targets("score", observations, direction).scores
        best, weights = elites_of(observations, scores)
        steering, values = self._steering(observations)
        elites = [observations[i].architecture for i in best]
        step = self.distribution.update(elites, weights, steering)
        entry = round_entry(observations, best, step, self.distribution, self.space, values)
        explains = self._beliefs.amplitudes(observations, direction) if last else {}  # a fit for each past round would be slow
        self.log.append({"round": len(self.log) + 1, **entry, "surrogate": explains})

    def _steering(self, observations: Sequence[Observation]) -> tuple[dict[str, float], dict[str, float]]:
        if not self.options.use_block_importances:
            return {}, {}
        return block_weights(self.space, observations, self.budget)

    def _start(self, history: History, rng: np.random.Generator) -> Architecture | None:
        """A network that was not seen before: by default near the budget's edge, and unlike those before it."""
        known = [*(o.architecture for o in history.observations), *history.pending]
        # among many decisions the least known network is an outlier with the rarest choices, and a poor guess
        diverse = self.options.start == "diverse" and bool(known) and not self._pool.representation.tied
        drawn = self._drawn(RIVALS if diverse else 1, history, rng)
        if not diverse or not drawn:
            return drawn[0] if drawn else None
        return drawn[int(np.argmax(self._beliefs.ignorance(known, drawn)))]

    def _drawn(self, n: int, history: History, rng: np.random.Generator) -> list[Architecture]:
        """Up to ``n`` random networks, near the budget's edge or anywhere, none seen before."""
        edge = self.options.start != "uniform" and has_edge(self.budget)
        if not self._pool.listed:
            return distinct_samples(self.space, self.budget, n, rng, fill=edge, history=history)
        fresh = self._pool.fresh(history)
        near = fresh & (self._pool.use >= NEAR_EDGE) if edge else fresh
        among = np.flatnonzero(near if near.any() else fresh)
        return [self._pool.architectures[i] for i in rng.choice(among, size=min(n, len(among)), replace=False)]

    def _best(self, history: History, rng: np.random.Generator) -> Architecture | None:
        """The most promising network that was not seen before; ``None`` where no candidate is left."""
        direction = _direction(history.observations, rng)
        shortlist = (self._listed if self._pool.listed else self._evolved)(history, direction, rng)
        if self.proxies is None or "proxies" not in self.options.parts or len(shortlist) < 2:
            return shortlist[0] if shortlist else None
        beliefs = self._beliefs_with(self.proxies, history)
        worth = beliefs.worth(history, beliefs.representation.encode(shortlist), direction)
        return shortlist[int(np.argmax(worth))]

    def _listed(self, history: History, direction: Array, rng: np.random.Generator) -> list[Architecture]:
        """The best of the feasible set, best first."""
        fresh = self._pool.fresh(history)
        worth = self._beliefs.worth(history, self._pool.inputs, direction)
        worth = np.where(fresh, worth + 1e-9 * rng.random(len(worth)), -np.inf)  # ties are broken at random
        best = np.argsort(-worth, kind="stable")[: min(SHORTLIST, int(fresh.sum()))]
        return [self._pool.architectures[i] for i in best]

    def _evolved(self, history: History, direction: Array, rng: np.random.Generator) -> list[Architecture]:
        """The best that evolution found, best first.

        As long as little is known nothing is evolved, random networks are ranked alone: a surrogate that knows so little has its
        optima beside the networks that it has seen, or where it errs most.
        """
        observations = history.observations
        little = self._beliefs.little(history)

        def score(networks: Sequence[Architecture]) -> Array:
            return self._beliefs.worth(history, self._pool.representation.encode(networks), direction)

        others = [
            *self._pool.bank,
            *distinct_samples(self.space, self.budget, FRESH_EDGE, rng, fill=has_edge(self.budget), history=history),
            *distinct_samples(self.space, self.budget, SCREENED if little else FRESH, rng, fill=False, history=history),
            *(self.distribution.draw(rng, self.budget) for _ in range(FRESH)),
        ]
        parents: list[Architecture] = []
        steering: Mapping[str, float] | None = None
        if not little:
            scores = self._beliefs.targets("score", observations, direction).scores
            parents = [observations[i].architecture for i in np.argsort(-scores, kind="stable")[:PARENTS]]
            steering = self._steering(observations)[0] or None
        rounds = 0 if little else ROUNDS
        found, _ = evolve(self._pool.costs, score, parents, others, rng, history=history, weights=steering, rounds=rounds)
        return found[:SHORTLIST]

    def _beliefs_with(self, proxies: Proxies, history: History) -> Beliefs:
        """Beliefs that see the proxies, too: of the shortlist and the observed networks alone, since they cost passes."""
        observed = [o.architecture for o in history.observations]
        due = milestones(len(observed), self.options)[-1]
        if self._proxied is None or self._proxied[0] != due:  # scales of the networks that the surrogate is fitted to
            representation = self._pool.representation.with_proxies(proxies, observed[:due])
            self._proxied = due, Beliefs(representation, self.options)
        return self._proxied[1]


def _direction(observations: Sequence[Observation], rng: np.random.Generator | None) -> Array:
    """Weights of the objectives: equal ones without a generator, else drawn uniformly from the simplex."""
    objectives = len(observations[0].values) if observations else 1
    return np.full(objectives, 1.0 / objectives) if rng is None else rng.dirichlet(np.ones(objectives))
