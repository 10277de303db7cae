"""Where candidates come from: the whole feasible set where it can be listed, else evolution of feasible ones.

Nothing here is ever over the budget: a space's operators keep it, and a listed set is filtered by cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.generator.columns import Array
from nas.generator.costs import Costs, admits, has_edge
from nas.generator.history import History, imposed
from nas.generator.options import GeneratorOptions
from nas.generator.representation import Representation
from search_spaces.errors import ArchitectureError

if TYPE_CHECKING:
    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

Score = Callable[[Sequence["Architecture"]], Array]

NEAR_EDGE = 0.85  # share of the budget from which on a network is near its edge
ROUNDS = 4  # of evolution
REFERENCE = 256  # random networks that set the scales of the representation where the set cannot be listed
EDGE = 64  # networks near the edge that are drawn once beside them: to fill a budget is slow in large spaces


def enumerate_feasible(costs: Costs, limit: int) -> list[Architecture] | None:
    """Every distinct feasible network, or ``None`` where the space has more than ``limit`` combinations.

    Of several spellings of a network the last one stands for all: a rule that depends on nothing but the space.
    """
    space, budget = costs.space, costs.budget
    if prod(len(choices) for choices in space.decisions.values()) > limit:
        return None
    found: dict[str, Architecture] = {}
    for values in product(*space.decisions.values()):
        try:
            architecture = space.architecture(dict(zip(space.decisions, values, strict=True)))
        except ArchitectureError:  # the space forbids this combination
            continue
        if costs.admits(architecture):
            found[architecture.key] = architecture
    return list(found.values()) or [space.sample(np.random.default_rng(0), budget)]  # which raises, and says what is in the way


class Pool:
    """The feasible set, listed where it is small enough, and its representation.

    Attributes:
        architectures: all distinct feasible networks; empty where they are too many.
        bank: where they cannot be listed, random networks and ones near the budget's edge, candidates of every proposal.
        inputs: columns of the listed ones, one array per part.
        use: float64 (n,), the largest share of a bound that each uses.
        costs, representation: of the space under the budget.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None, options: GeneratorOptions) -> None:
        self.costs = Costs(space, budget)
        listed = enumerate_feasible(self.costs, options.enumerate_up_to)
        self.listed = listed is not None
        self.architectures = listed or []
        self.bank: list[Architecture] = []
        if listed is None:
            rng = np.random.default_rng(0)  # the same scales of columns whatever the seed of the search
            self.bank = distinct_samples(space, budget, REFERENCE, rng, fill=False, history=History((), (), frozenset()))
            if has_edge(budget):
                known = History((), (), frozenset(a.key for a in self.bank))
                self.bank += distinct_samples(space, budget, EDGE, rng, fill=True, history=known)
        reference = listed or self.bank[:REFERENCE]
        self.representation = Representation(self.costs, reference, options.parts)
        self.inputs = self.representation.encode(self.architectures)
        self._places = {architecture.key: place for place, architecture in enumerate(self.architectures)}
        self.use = np.array([max(self.costs.shares(architecture)) for architecture in self.architectures])

    @classmethod
    def of(cls, space: SearchSpace, budget: Budget | None, options: GeneratorOptions) -> Pool:
        """A pool, shared by all generators that would list the same networks of the same space."""
        shared = space.__dict__.setdefault("_pools", {})  # which lives as long as the space does
        key = (budget, options.enumerate_up_to, options.parts)
        if key not in shared:
            shared[key] = cls(space, budget, options)
        return shared[key]

    def fresh(self, history: History) -> NDArray[np.bool_]:
        """bool (n,): which listed networks have not been proposed and have the choices that the trial brings."""
        fresh = np.ones(len(self.architectures), dtype=bool)
        fresh[[self._places[key] for key in history.seen if key in self._places]] = False
        if history.fixed:
            fresh &= [imposed(network, history.fixed, self.costs.space) == network for network in self.architectures]
        return fresh


def distinct_samples(
    space: SearchSpace, budget: Budget | None, n: int, rng: np.random.Generator, *, fill: bool, history: History
) -> list[Architecture]:
    """Up to ``n`` random feasible networks with the choices ``history.fixed``, none twice, none seen before.

    Fewer where 20 draws in a row (200 with fixed choices, which put many over the budget) bring nothing new.
    """
    found: dict[str, Architecture] = {}
    idle, patience = 0, 200 if history.fixed else 20
    while len(found) < n and idle < patience:
        network = imposed(space.sample(rng, budget, fill=fill), history.fixed, space)
        idle += 1
        if network is not None and network.key not in found and is_new(space, budget, network, history):
            found[network.key] = network
            idle = 0
    return list(found.values())


def is_new(space: SearchSpace, budget: Budget | None, network: Architecture, history: History) -> bool:
    """Whether it was not seen before, and is inside the budget."""
    return network.key not in history.seen and admits(space, budget, network)


def any_network(space: SearchSpace, budget: Budget | None, history: History, rng: np.random.Generator) -> Architecture:
    """A random network that was not seen; where draws bring none, the nearest that single changes lead to.

    One that was seen only where none is left, one over the budget only where it has none with the choices ``history.fixed``.
    """
    if fresh := distinct_samples(space, budget, 1, rng, fill=False, history=history):
        return fresh[0]
    anywhere = replace(history, seen=frozenset())
    if not (met := distinct_samples(space, budget, 1, rng, fill=False, history=anywhere)):
        network = space.sample(rng, budget)
        return imposed(network, history.fixed, space) or network
    keys = {met[0].key}
    for network in met:  # which grows meanwhile: all that single changes lead to, the nearest first
        if network.key not in history.seen:
            return network
        for near in space.neighbours(network, budget):
            if near.key not in keys and imposed(near, history.fixed, space) == near:
                keys.add(near.key)
                met.append(near)
    return met[0]


def evolve(
    costs: Costs,
    score: Score,
    parents: Sequence[Architecture],
    others: Sequence[Architecture],
    rng: np.random.Generator,
    *,
    history: History,
    weights: Mapping[str, float] | None = None,
    rounds: int = ROUNDS,
    survivors: int = 16,
) -> tuple[list[Architecture], Array]:
    """Maximise ``score`` over feasible networks by mutation and crossover.

    Args:
        costs: of the space under its budget.
        score: float64 (n,) for n networks; larger is better.
        parents: observed networks worth varying, best first.
        others: fresh candidates (random, near the edge, from the generator's distribution).
        history: says which networks must not be proposed, and which choices they must have.
        weights: decision → how often to mutate it.

    Returns:
        Distinct candidates, best first, and their scores. Empty only if no operator found anything new.
    """
    space, budget = costs.space, costs.budget
    pool: dict[str, Architecture] = {}
    scores: dict[str, float] = {}

    def add(networks: Sequence[Architecture]) -> None:
        allowed = [a for network in networks if (a := imposed(network, history.fixed, space)) is not None]
        fresh = {a.key: a for a in allowed if a.key not in history.seen and a.key not in pool}
        fresh = {key: a for key, a in fresh.items() if costs.admits(a)}
        if fresh:
            pool.update(fresh)
            scores.update(zip(fresh, score(list(fresh.values())).tolist(), strict=True))

    add([*others, *_children(space, budget, parents, 12, rng, weights)])
    for _ in range(rounds):
        best = sorted(pool, key=lambda key: -scores[key])[:survivors]
        add(_children(space, budget, [pool[key] for key in best], 6, rng, weights))
    order = sorted(pool, key=lambda key: -scores[key])
    return [pool[key] for key in order], np.array([scores[key] for key in order])


def _children(
    space: SearchSpace,
    budget: Budget | None,
    parents: Sequence[Architecture],
    each: int,
    rng: np.random.Generator,
    weights: Mapping[str, float] | None,
) -> list[Architecture]:
    """Of each parent: mutants of one, two, three … decisions, and a crossover with another parent."""
    children = []
    for parent in parents:
        for _ in range(each):
            child = space.mutate(parent, rng, budget, weights)
            while rng.random() < 0.4:
                child = space.mutate(child, rng, budget, weights)
            children.append(child)
        if len(parents) > 1:
            mate = parents[int(rng.integers(len(parents)))]
            children.append(space.crossover(parent, mate, rng, budget))
    return children
