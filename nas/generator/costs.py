"""Costs of architectures under a budget, each counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from search_spaces import Architecture, Budget
    from search_spaces.cost import Cost
    from search_spaces.space import SearchSpace

REMEMBERED = 50_000
FIGURES = ("flops", "parameters", "memory")


class Costs:
    """Remembers what architectures of one space cost at a budget's image size.

    Args:
        space, budget: ``budget=None`` leaves the cost free.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None) -> None:
        self.space, self.budget = space, budget
        self._known: dict[str, tuple[float, float, float]] = {}

    def of(self, architecture: Architecture) -> tuple[float, float, float]:
        """FLOPs, parameters and memory."""
        known = self._known.get(architecture.key)
        if known is None:
            cost = cost_of(self.space, self.budget, architecture)
            known = float(cost.flops), float(cost.parameters), float(cost.memory)
            if len(self._known) >= REMEMBERED:  # thousands of proposals look at millions of candidates
                self._known.clear()
            self._known[architecture.key] = known
        return known

    def admits(self, architecture: Architecture) -> bool:
        """Whether it is valid (its cost is finite) and inside the budget."""
        figures = self.of(architecture)
        return bool(np.isfinite(figures).all()) and (self.budget is None or self.budget.admits_figures(*figures))

    def shares(self, architecture: Architecture) -> list[float]:
        """Of each upper bound, the share used; without one, the logarithm of the FLOPs."""
        figures = dict(zip(FIGURES, self.of(architecture), strict=True))
        if not has_edge(self.budget):
            return [float(np.log(max(figures["flops"], 1.0)))]
        return [figures[name] / bound for name, bound in self.budget.upper.items()]  # type: ignore[union-attr]  # has_edge


def has_edge(budget: Budget | None) -> bool:
    """Whether there is an upper bound to be near to."""
    return budget is not None and bool(budget.upper)


def cost_of(space: SearchSpace, budget: Budget | None, architecture: Architecture) -> Cost:
    """The cost at the image size at which the budget holds."""
    return space.cost(architecture, None if budget is None else budget.image_size)


def admits(space: SearchSpace, budget: Budget | None, architecture: Architecture) -> bool:
    """``Costs.admits`` for a single look."""
    return Costs(space, budget).admits(architecture)
