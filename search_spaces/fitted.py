"""Proposals that cannot break the budget, for spaces whose widths can be fitted to it.

The idea throughout: a *corner* is an architecture with every monotone decision at its cheapest choice, known to fit. On a
path of small steps from any architecture to a corner, bisection finds the last step that fits: the far end always does,
so the result always does, whether or not the cost is monotone along the way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from math import inf
from typing import Any, NamedTuple

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.budget import BOUNDS, Budget, under
from search_spaces.conflict import infeasible, pareto
from search_spaces.errors import BudgetInfeasibleError
from search_spaces.fitting import Fit
from search_spaces.space import SearchSpace, Triple, Values


class Corner(NamedTuple):
    """A cheapest architecture: no other has all three figures smaller."""

    figures: Triple
    values: tuple[Any, ...]


class FittedSpace(SearchSpace):
    """A space that sorts its decisions into widths (fitted to the budget) and structure."""

    _exact_peaks = True  # whether no architecture is larger than the peaks

    @property
    @abstractmethod
    def _widths(self) -> frozenset[int]:
        """Positions of the decisions that are fitted: ordered numbers, each costing more than the one before."""

    @cached_property
    def _narrowest(self) -> list[tuple[int, Any]]:
        """Each width's position and smallest choice."""
        return [(position, self._choices[position][0]) for position in self._widths]

    @abstractmethod
    def _draw(self, rng: np.random.Generator, reach: float = 1.0) -> Values:
        """Random values, canonical or not: uniform over structure, widths in proportion to one another.

        ``reach`` 1 draws from all depths, 0 from the smallest only.
        """

    def _reach(self, fit: Fit) -> float:
        """The share of all depths that is worth drawing from under this budget."""
        return 1.0

    def _settled(self, values: Values) -> Values:
        """``_canonical``, and what a change has just brought to life set to a choice."""
        return self._canonical(values)

    def _countable(self, values: Values) -> Values:
        """Values with the figures that ``_settled`` would have."""
        return self._settled(values)

    def _refresh(self, values: Values, fresh: list[int], rng: np.random.Generator) -> None:
        """Draw, in place, the decisions at the positions ``fresh``, which another change has just brought to life."""
        drawn = self._draw(rng)
        for position in fresh:
            values[position] = drawn[position]

    @abstractmethod
    def _cheapest(self) -> dict[int, Any]:
        """Position → the choice that makes every figure smallest whatever the others are; what is missing is enumerated."""

    def _keeps(self, values: Sequence[Any], budget: Budget, image_size: int, in_channels: int, classes: int) -> bool:
        """Whether the figures of canonical values keep the upper bounds."""
        return under(budget, self._figures(values, image_size, in_channels, classes))

    # --- the smallest reachable cost ------------------------------------------------------------------------------

    def _corners(self, image_size: int, in_channels: int, classes: int) -> list[Corner]:
        """All Pareto-smallest corners, exact; remembered."""
        cache = self.__dict__.setdefault("_corner_cache", {})
        key = (image_size, in_channels, classes)
        if key not in cache:
            found = (Corner(self._figures(values, *key), tuple(values)) for values in self._corner_values(key))
            cache[key] = pareto(found)
        return cache[key]

    def _corner_values(self, key: tuple[int, int, int]) -> Iterable[Values]:
        """Every combination of the decisions that are not monotone, the others at their cheapest."""
        cheapest = self._cheapest()
        base = [cheapest.get(position, options[0]) for position, options in enumerate(self._choices)]
        free = [position for position in self._active(base) if position not in cheapest]
        for combination in product(*(self._choices[position] for position in free)):
            values = list(base)
            for position, value in zip(free, combination, strict=True):
                values[position] = value
            yield self._canonical(values)

    def smallest(self, budget: Budget | None = None) -> dict[str, float]:
        size = self._size(budget.image_size if budget else None)
        sizes = self.in_channels, self.classes
        corners = [*self._corners(size, *sizes), *self._compromises(Budget(image_size=size), *sizes)]
        return {name: min(corner.figures[place] for corner in corners) for place, name in enumerate(BOUNDS)}

    def largest(self, budget: Budget | None = None) -> dict[str, float]:
        """The largest reachable cost per figure, each alone."""
        size = self._size(budget.image_size if budget else None)
        peaks = self._peaks(size, self.in_channels, self.classes)
        return {name: peaks[place].figures[place] for place, name in enumerate(BOUNDS)}

    def _peaks(self, image_size: int, in_channels: int, classes: int) -> list[Corner]:
        """For each figure the architecture in which it is largest; remembered."""
        cache = self.__dict__.setdefault("_peak_cache", {})
        key = (image_size, in_channels, classes)
        if key not in cache:
            found = [tuple(self._peak(place, key)) for place in range(len(BOUNDS))]
            cache[key] = [Corner(self._figures(values, *key), values) for values in found]
        return cache[key]

    def _peak(self, place: int, key: tuple[int, int, int]) -> Values:
        """Monotone decisions at their dearest, the others by coordinate ascent on the figure at ``place``."""

        def figure(values: Values) -> float:
            return self._figures(self._canonical(list(values)), *key)[place]

        return self._canonical(self._ascended([options[-1] for options in self._choices], figure))

    def _ascended(self, values: Values, figure: Callable[[Values], float]) -> Values:
        """``values`` with the decisions that are not monotone settled by coordinate ascent."""
        cheapest = self._cheapest()
        free = [position for position in range(len(values)) if position not in cheapest]
        before = -1.0
        while figure(values) > before:
            before = figure(values)
            for position in free:
                trials = ([*values[:position], choice, *values[position + 1 :]] for choice in self._choices[position])
                values = max(trials, key=figure)
        return values

    def _fitting(self, budget: Budget, in_channels: int, classes: int) -> list[Corner]:
        """The corners inside the upper bounds; none: the error that says so."""
        size = self._size(budget.image_size)
        cache = self.__dict__.setdefault("_fitting_cache", {})
        key = (budget, in_channels, classes)
        if key not in cache:
            corners = list(self._corners(size, in_channels, classes))
            fitting = [corner for corner in corners if under(budget, corner.figures)]
            for compromise in () if fitting else self._compromises(budget, in_channels, classes):
                corners.append(compromise)
                if under(budget, compromise.figures):
                    fitting.append(compromise)
                    break
            if not fitting:
                raise self._infeasible(budget, [corner.figures for corner in corners])
            if len(cache) > 256:
                cache.clear()
            cache[key] = fitting
        return cache[key]

    def _compromises(self, budget: Budget, in_channels: int, classes: int) -> Iterator[Corner]:
        """Further architectures that may keep the bounds; none where the corners are all Pareto-smallest ones."""
        return iter(())

    def _between(self, fit: Fit, values: Values) -> Values | None:
        """An architecture that keeps all bounds of a budget with lower ones, made from ``values``; None: none was found."""
        return fit.grown_between(values)

    def _infeasible(self, budget: Budget, figures: list[Triple]) -> BudgetInfeasibleError:
        return infeasible(self.name, budget, figures)

    # --- proposals ------------------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False) -> Architecture:
        if budget is None:
            return self._wrap(self._draw(rng))
        fit = Fit(self, budget, rng)
        return self._wrap(fit.fitted(self._canonical(self._draw(rng, fit.reach)), fill))

    def sample_many(
        self, n: int, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False
    ) -> list[Architecture]:
        if budget is None:
            return [self._wrap(self._draw(rng)) for _ in range(n)]
        fit = Fit(self, budget, rng)
        return [self._wrap(fit.fitted(self._canonical(self._draw(rng, fit.reach)), fill)) for _ in range(n)]

    def repair(self, architecture: Architecture, budget: Budget, rng: np.random.Generator) -> Architecture:
        fit = Fit(self, budget, rng, architecture.in_channels, architecture.classes)
        values = list(architecture.values_tuple)
        if fit.admits(values):
            return architecture
        near = fit.nearest_single(values)
        if near is None:
            near = fit.restored(fit.fitted(values, fill=False), values)
        return self._wrap(near, architecture.in_channels, architecture.classes)

    def mutate(
        self,
        architecture: Architecture,
        rng: np.random.Generator,
        budget: Budget | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Architecture:
        fit = Fit(self, budget or Budget(), rng, architecture.in_channels, architecture.classes)
        values = list(architecture.values_tuple)
        if not fit.admits(values):
            return self.repair(architecture, fit.budget, rng)
        active = self._active(values)
        for position in self._order(active, rng, weights):
            options = [choice for choice in self._choices[position] if choice != values[position]]
            too_wide = inf  # a wider choice costs more than one that was too much already
            for choice in (options[place] for place in rng.permutation(len(options))):
                if position in self._widths and choice >= too_wide:
                    continue
                changed = fit.changed(values, position, choice)
                if changed is not None:
                    return self._wrap(changed, architecture.in_channels, architecture.classes)
                if position in self._widths and choice > values[position]:
                    too_wide = choice
        return architecture

    def _order(self, positions: Sequence[int], rng: np.random.Generator, weights: Mapping[str, float] | None) -> list[int]:
        """The positions in the order of a draw without replacement in proportion to the weights (by exponential races)."""
        steer = np.array([1.0 if weights is None else weights.get(self.names[position], 1.0) for position in positions])
        races = rng.exponential(size=len(positions)) / np.maximum(steer, 1e-12)
        return [positions[place] for place in np.argsort(races)]

    def neighbours(self, architecture: Architecture, budget: Budget | None = None) -> Iterator[Architecture]:
        budget = budget or Budget()
        size = self._size(budget.image_size)
        seen = {architecture.key}
        for position in self._active(list(architecture.values_tuple)):
            for choice in self._choices[position]:
                values = list(architecture.values_tuple)
                values[position] = choice
                values = self._settled(values)
                if budget.admits_figures(*self._figures(values, size, architecture.in_channels, architecture.classes)):
                    near = self._wrap(values, architecture.in_channels, architecture.classes)
                    if near.key not in seen:
                        seen.add(near.key)
                        yield near
