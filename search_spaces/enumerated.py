"""Exact proposals by enumeration: for small spaces, all points and their figures in one table, filled once, when first asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces.budget import BOUNDS, Budget
from search_spaces.conflict import infeasible

_REMEMBERED_BUDGETS = 32


class Enumeration:
    """All points of a product of choices, numbered in mixed radix with the last decision fastest.

    Args:
        space: its name, for messages.
        sizes: number of choices of each decision.
        figures: float64 (points, 3): FLOPs, parameters, memory; not finite: an invalid combination.
    """

    def __init__(self, space: str, sizes: Sequence[int], figures: np.ndarray) -> None:
        self.space = space
        self.sizes = np.array(sizes)
        self.strides = np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1).astype(np.int64)
        self.figures = figures
        self.valid = np.isfinite(figures).all(axis=1)
        self._masks: dict[Budget, tuple[np.ndarray, np.ndarray]] = {}

    def feasible(self, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
        """Mask over all points and numbers of those inside the budget; none: ``BudgetInfeasibleError``."""
        if budget not in self._masks:
            mask = self.valid.copy()
            for place, name in enumerate(BOUNDS):
                mask &= self.figures[:, place] <= budget.upper.get(name, np.inf)
                mask &= self.figures[:, place] >= budget.lower.get(name, -np.inf)
            numbers = np.flatnonzero(mask)
            if not len(numbers):
                raise infeasible(self.space, budget, self.figures[self.valid], images=False)
            if len(self._masks) >= _REMEMBERED_BUDGETS:
                self._masks.clear()
            self._masks[budget] = mask, numbers
        return self._masks[budget]

    def full(self, budget: Budget) -> np.ndarray:
        """Numbers of the feasible points that use at least nine tenths of the budget, else of those that use most."""
        _, numbers = self.feasible(budget)
        use = np.max([self.figures[numbers, BOUNDS.index(name)] / high for name, high in budget.upper.items()], axis=0)
        return numbers[use >= min(0.9, float(np.quantile(use, 0.9)))]

    def number(self, digits: Sequence[int]) -> int:
        """The number of the point whose decisions take these places among their choices."""
        return int(np.dot(digits, self.strides))

    def digits(self, number: int | np.ndarray) -> np.ndarray:
        """int64 (…, decisions): the inverse of ``number``."""
        return (np.asarray(number)[..., None] // self.strides) % self.sizes

    def changes(self, number: int, decision: int) -> np.ndarray:
        """Numbers of the points that differ in this decision only, in order of its choices."""
        stride, size = int(self.strides[decision]), int(self.sizes[decision])
        place = number // stride % size
        all_choices = number + (np.arange(size) - place) * stride
        return np.delete(all_choices, place)

    def nearest(self, number: int, budget: Budget) -> np.ndarray:
        """Numbers of the feasible points that differ from this one in the fewest decisions."""
        mask, numbers = self.feasible(budget)
        singles = np.concatenate([self.changes(number, decision) for decision in range(len(self.sizes))])
        if mask[singles].any():
            return singles[mask[singles]]
        mine = self.digits(number)
        distance = np.zeros(len(numbers), dtype=np.int32)
        for decision, stride in enumerate(self.strides):
            distance += (numbers // stride) % self.sizes[decision] != mine[decision]
        return numbers[distance == distance.min()]
