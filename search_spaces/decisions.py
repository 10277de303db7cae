"""Spaces that are only decisions and a cost function, without networks: tabular benchmarks, and whatever the user searches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import product
from math import inf, isfinite, isnan, prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.budget import BOUNDS, Budget
from search_spaces.conflict import infeasible
from search_spaces.cost import Cost
from search_spaces.descent import descend, least_largest_sum
from search_spaces.enumerated import Enumeration
from search_spaces.errors import ArchitectureError, BudgetInfeasibleError, InputError
from search_spaces.fitted import Corner, FittedSpace
from search_spaces.fitting import Fit
from search_spaces.space import Triple, Values

if TYPE_CHECKING:
    from torch import nn

Choice = dict[str, Any]
CostFunction = Callable[[Choice], float]
AdditiveCost = Mapping[str, Mapping[Any, float]]  # decision → choice → its share
_ENUMERABLE = 1_000_000
_WEIGHTS = (12, 12, 12, 12, 5, 4, 3)  # by number of bounds that are to be kept together: steps of their weights
_DRAWS = 16  # for a valid combination
_STARTS = 16  # of the descents that look for the smallest cost of a space too large to enumerate


class DecisionSpace(FittedSpace):
    """Named decisions with a cost; it proposes, and builds nothing.

    Up to a million points are enumerated when a budget is first asked for, and everything is exact. Beyond that, the
    smallest cost is exact if declared or additive, else "smallest found" by descent.

    Args:
        name: of the space.
        decisions: name → ordered choices. Optuna's SQL storages cannot go on with a study whose choices are tuples; journals can.
        flops, parameters, memory: choice → cost, where an infinite cost marks an invalid combination; or an additive
            cost, as a table decision → choice → share; ``None``: unknown, and a budget may not bound it.
        canonical: choice → key of the same network, for choices that come to the same: a number, text, or tuples and
            sets of these; default: the choice itself.
        smallest: the cheapest choice, if known; it must be valid.

    Raises:
        InputError: no decisions, choices that are not distinct or not plain data, an additive cost that lacks a choice, or a
            ``smallest`` that is no point of the space.
    """

    def __init__(
        self,
        name: str,
        decisions: Mapping[str, Sequence[Any]],
        *,
        flops: CostFunction | AdditiveCost | None = None,
        parameters: CostFunction | AdditiveCost | None = None,
        memory: CostFunction | AdditiveCost | None = None,
        canonical: Callable[[Choice], Hashable] | None = None,
        smallest: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        if not decisions:
            raise InputError(f"space {name!r} has no decisions; give at least one")
        super().__init__(decisions, classes=1, in_channels=1, image_size=1)
        self._known = {bound: cost for bound, cost in zip(BOUNDS, (flops, parameters, memory), strict=True) if cost is not None}
        for bound, cost in self._known.items():
            if isinstance(cost, Mapping):
                self._check_table(bound, cost)
        self._same = canonical
        self._declared = None if smallest is None else list(self.architecture(smallest).values_tuple)
        self._table: Enumeration | None = None
        self.points = prod(len(choices) for choices in self._choices)

    # --- the space ------------------------------------------------------------------------------------------------

    def block_of(self, decision: str) -> str | None:
        return None

    def cost(self, architecture: Architecture, image_size: int | None = None) -> Cost:
        flops, parameters, memory = self._figures(architecture.values_tuple, 1, 1, 1)
        return Cost(flops, parameters, memory, image_size or 1, 1)  # type: ignore[arg-type]  # a user's cost may be a float

    def build(self, architecture: Architecture, image_size: int | None = None) -> nn.Module:
        raise InputError(
            f"space {self.name!r} is only decisions and a cost, it builds no network; search it through your own score"
        )

    def _wrap(self, values: Values, in_channels: int | None = None, classes: int | None = None) -> Architecture:
        point = tuple(values)
        identity = None if self._same is None else self._same(dict(zip(self.names, point, strict=True)))
        return Architecture(self.name, self.version, self._index, point, self.in_channels, self.classes, identity)

    def _canonical(self, values: Values) -> Values:
        return values

    def _active(self, values: Values) -> list[int]:
        return list(range(len(values)))

    def _size(self, image_size: int | None) -> int:
        return 1  # costs know no image size

    def _figures(self, values: Sequence[Any], image_size: int, in_channels: int, classes: int) -> Triple:
        point = dict(zip(self.names, values, strict=True))
        found = [self._one(bound, point) for bound in BOUNDS]
        return found[0], found[1], found[2]

    def _valid(self, values: Sequence[Any]) -> bool:
        return isfinite(sum(self._figures(values, 1, 1, 1)))

    def _one(self, bound: str, point: Choice) -> float:
        cost = self._known.get(bound)
        if cost is None:
            return 0
        if isinstance(cost, Mapping):
            return sum(cost[name][value] for name, value in point.items())
        value = cost(point)
        if isnan(value):
            raise InputError(
                f"{bound} of space {self.name!r} is not a number for {point}; return a cost, or infinity if invalid"
            )
        return value

    def _check_table(self, bound: str, table: AdditiveCost) -> None:
        for name, choices in self.decisions.items():
            if name not in table or not all(choice in table[name] for choice in choices):
                raise InputError(f"additive {bound} of space {self.name!r} must give each choice of {name!r} a share")

    # --- small spaces: everything exact ---------------------------------------------------------------------------

    @property
    def _enumeration(self) -> Enumeration | None:
        if self.points > _ENUMERABLE:
            return None
        if self._table is None:
            figures = np.array([self._figures(point, 1, 1, 1) for point in product(*self._choices)], dtype=np.float64)
            self._table = Enumeration(self.name, [len(choices) for choices in self._choices], figures)
            if not self._table.valid.any():
                raise InputError(f"space {self.name!r}: every combination has an infinite cost; at least one must be valid")
        return self._table

    def bounded(self, budget: Budget | None) -> Budget:
        budget = budget or Budget()
        for bound in {**budget.upper, **budget.lower}:
            if bound not in self._known:
                raise InputError(f"space {self.name!r} declares no cost for {bound}; pass {bound}= to it or drop the bound")
        return budget

    def _point(self, number: int, table: Enumeration) -> Architecture:
        digits = table.digits(number).tolist()
        return self._wrap([choices[digit] for choices, digit in zip(self._choices, digits, strict=True)])

    def _number(self, architecture: Architecture, table: Enumeration) -> int:
        return table.number([places[value] for places, value in zip(self._places, architecture.values_tuple, strict=True)])

    def sample(self, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False) -> Architecture:
        return self.sample_many(1, rng, budget, fill)[0]

    def sample_many(
        self, n: int, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False
    ) -> list[Architecture]:
        budget, table = self.bounded(budget), self._enumeration
        if table is None:
            return super().sample_many(n, rng, budget, fill)
        numbers = table.full(budget) if fill and budget.upper else table.feasible(budget)[1]
        return [self._point(number, table) for number in rng.choice(numbers, size=n).tolist()]

    def mutate(
        self,
        architecture: Architecture,
        rng: np.random.Generator,
        budget: Budget | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Architecture:
        budget, table = self.bounded(budget), self._enumeration
        if table is None:
            return super().mutate(architecture, rng, budget, weights)
        mask, number = table.feasible(budget)[0], self._number(architecture, table)
        if not mask[number]:
            return self.repair(architecture, budget, rng)
        for decision in self._order(range(len(self.names)), rng, weights):
            changes = table.changes(number, decision)
            changes = changes[mask[changes]]
            if len(changes):
                return self._point(int(rng.choice(changes)), table)
        return architecture

    def neighbours(self, architecture: Architecture, budget: Budget | None = None) -> Iterator[Architecture]:
        budget, table = self.bounded(budget), self._enumeration
        if table is None:
            yield from super().neighbours(architecture, budget)
            return
        mask, number = table.feasible(budget)[0], self._number(architecture, table)
        seen = {architecture.key}
        for decision in range(len(self.names)):
            for change in table.changes(number, decision).tolist():
                if mask[change] and (near := self._point(change, table)).key not in seen:
                    seen.add(near.key)
                    yield near

    def repair(self, architecture: Architecture, budget: Budget, rng: np.random.Generator) -> Architecture:
        budget, table = self.bounded(budget), self._enumeration
        if table is None:
            return super().repair(architecture, budget, rng)
        number = self._number(architecture, table)
        if table.feasible(budget)[0][number]:
            return architecture
        return self._point(int(rng.choice(table.nearest(number, budget))), table)

    def smallest(self, budget: Budget | None = None) -> dict[str, float]:
        table = self._enumeration
        if table is None:
            return {bound: value for bound, value in super().smallest(budget).items() if bound in self._known}
        least = table.figures[table.valid].min(axis=0)
        return {bound: float(least[place]) for place, bound in enumerate(BOUNDS) if bound in self._known}

    def largest(self, budget: Budget | None = None) -> dict[str, float]:
        table = self._enumeration
        if table is None:
            return {bound: value for bound, value in super().largest(budget).items() if bound in self._known}
        most = table.figures[table.valid].max(axis=0)
        return {bound: float(most[place]) for place, bound in enumerate(BOUNDS) if bound in self._known}

    # --- large spaces: anchors declared, additive, or found by descent ---------------------------------------------

    @property
    def _widths(self) -> frozenset[int]:
        return frozenset()

    def _cheapest(self) -> dict[int, Any]:
        return {}

    def _draw(self, rng: np.random.Generator, reach: float = 1.0) -> Values:
        for _ in range(_DRAWS):
            shares = rng.random(len(self._choices)).tolist()
            values = [choices[int(share * len(choices))] for choices, share in zip(self._choices, shares, strict=True)]
            if self._valid(values):
                break
        return values

    def _corner_values(self, key: tuple[int, int, int]) -> Iterator[Values]:
        if self._declared is not None:
            if not self._valid(self._declared):
                raise InputError(
                    f"space {self.name!r}: the choice declared as smallest= has an infinite cost; declare a valid one"
                )
            yield self._declared
            return
        if not self._known:
            yield [choices[0] for choices in self._choices]
        for bound, cost in self._known.items():
            least = None
            if isinstance(cost, Mapping):
                least = [min(choices, key=cost[name].__getitem__) for name, choices in self.decisions.items()]
            yield self._descend(itemgetter(BOUNDS.index(bound)), least)

    def _peak(self, place: int, key: tuple[int, int, int]) -> Values:
        return self._descend(lambda figures: -figures[place])

    def _compromises(self, budget: Budget, in_channels: int, classes: int) -> Iterator[Corner]:
        if self._declared is None:
            yield from map(self._corner, self._balanced(budget.upper, {}))

    def _between(self, fit: Fit, values: Values) -> Values | None:
        """``values`` moved to a point that keeps all bounds, found once a budget, as little as that takes."""
        cache: dict[Budget, Values | None] = self.__dict__.setdefault("_between_cache", {})
        if fit.budget not in cache:
            found = filter(fit.admits, self._balanced(fit.budget.upper, fit.budget.lower))
            if len(cache) > 256:
                cache.clear()
            cache[fit.budget] = next(found, None)
        inside = cache[fit.budget]
        return None if inside is None else fit.restored(inside, values)

    def _balanced(self, upper: Mapping[str, float], lower: Mapping[str, float]) -> Iterator[Values]:
        """Points that keep the worst kept of these bounds as well as possible; for two bounds on additive costs none does better."""
        # of each bound a place, offset and scale: offset + figure / scale is at most 1 where it is kept
        bounds = [(BOUNDS.index(name), 0.0, high) for name, high in upper.items()]
        bounds += [(BOUNDS.index(name), 2.0, -low) for name, low in lower.items()]
        if not bounds:
            return

        def balanced(start: Values | None) -> Values:
            return self._descend(lambda figures: max(offset + figures[place] / scale for place, offset, scale in bounds), start)

        def weighted(figures: Triple) -> float:
            return sum(weight * figures[place] / scale for weight, (place, _, scale) in zip(weights, bounds, strict=True))

        yield balanced(None)
        costs = [cost for name in (*upper, *lower) if isinstance(cost := self._known[name], Mapping)]
        if len(costs) == len(bounds):
            yield self._least_sums(costs, bounds)
            if len(bounds) < 3 or not lower:
                return
        start, steps = None, _WEIGHTS[len(bounds)]
        for weights in product(range(steps + 1), repeat=len(bounds)):
            if sum(weights) == steps:
                start = self._descend(weighted, start)
                yield balanced(start)

    def _least_sums(self, costs: Sequence[AdditiveCost], bounds: Sequence[tuple[int, float, float]]) -> Values:
        terms = [(cost, offset / len(self.names), scale) for cost, (_, offset, scale) in zip(costs, bounds, strict=True)]
        shares = [
            np.array([[offset + cost[name][choice] / scale for cost, offset, scale in terms] for choice in choices])
            for name, choices in self.decisions.items()
        ]
        return [choices[place] for choices, place in zip(self._choices, least_largest_sum(shares), strict=True)]

    def _corner(self, values: Values) -> Corner:
        return Corner(self._figures(values, 1, 1, 1), tuple(values))

    def _infeasible(self, budget: Budget, figures: list[Triple]) -> BudgetInfeasibleError:
        exact = self._declared is not None or self._exact_peaks
        return infeasible(self.name, budget, figures, exact=exact, images=False, together=False)

    @property
    def _exact_peaks(self) -> bool:  # type: ignore[override]
        return all(isinstance(cost, Mapping) for cost in self._known.values())

    def _descend(self, aim: Callable[[Triple], float], start: Values | None = None) -> Values:
        """The valid point found that makes ``aim`` least: by descent from ``start`` if that is valid, else from random points; deterministic."""

        def aimed(values: Values) -> float:
            figures = self._figures(values, 1, 1, 1)
            return aim(figures) if isfinite(sum(figures)) else inf

        rng = np.random.default_rng(0)
        drawn = (self._draw(rng) for _ in range(_STARTS))
        found = descend(self._choices, aimed, [start] if start and self._valid(start) else drawn, rng)
        if found is None:
            raise ArchitectureError(f"space {self.name!r}: no valid combination found; declare one with smallest=")
        return found
