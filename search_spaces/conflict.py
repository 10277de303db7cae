"""When nothing fits a budget: what the smallest reachable costs are, and which bounds are in each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, TypeVar

from search_spaces.budget import BOUNDS, Budget
from search_spaces.errors import BudgetInfeasibleError

C = TypeVar("C", bound=tuple[Any, ...])  # a tuple whose first item is the triple of figures


def pareto(corners: Iterable[C]) -> list[C]:
    """Those that no other beats or equals in all three figures."""
    front: list[C] = []
    for corner in sorted(corners, key=lambda c: c[0]):
        if not any(all(a <= b for a, b in zip(kept[0], corner[0], strict=True)) for kept in front):
            front.append(corner)
    return front


def infeasible(space: str, budget: Budget, figures: Sequence[Sequence[float]], exact: bool = True) -> BudgetInfeasibleError:
    """The error for a budget that none of the Pareto-smallest ``figures`` (FLOPs, parameters, memory) fits.

    Names the bound that is furthest out of reach alone, else the smallest set of bounds that conflict, the tightest first.
    """
    smallest = {name: min(triple[place] for triple in figures) for place, name in enumerate(BOUNDS)}
    word = "smallest reachable" if exact else "smallest found"
    upper = budget.upper
    alone = {name: smallest[name] / high for name, high in upper.items() if smallest[name] > high}
    size = f" at {budget.image_size} px" if budget.image_size else ""
    if alone:
        worst = max(alone, key=lambda name: alone[name])
        reason = f"budget {worst}={upper[worst]:,.0f} lies below the {word} {smallest[worst]:,.0f}{size}"
        return BudgetInfeasibleError(f"space {space!r}: {reason}; raise the bound or choose smaller images", smallest)
    names, needed = _tightest(upper, figures)
    bounds = " and ".join(f"{name} ≤ {upper[name]:,.0f}" for name in names)
    last = names[-1]
    rest = " and ".join(names[:-1])
    reason = f"{bounds} can each be met but not together{size}: with {rest} kept, the {word} {last} is {needed:,.0f}"
    return BudgetInfeasibleError(f"space {space!r}: {reason}; raise one of them", smallest)


def _tightest(upper: dict[str, float], figures: Sequence[Sequence[float]]) -> tuple[list[str], float]:
    """The fewest bounds that conflict; of several such sets, the one whose last bound must rise by the largest factor."""
    place = {name: index for index, name in enumerate(BOUNDS)}
    for count in range(2, len(upper) + 1):
        found: list[tuple[float, list[str], float]] = []
        for names in combinations(upper, count):
            for last in names:
                kept = [name for name in names if name != last]
                reach = [t[place[last]] for t in figures if all(t[place[name]] <= upper[name] for name in kept)]
                if reach and min(reach) > upper[last]:
                    found.append((min(reach) / upper[last], [*kept, last], min(reach)))
        if found:
            _, names_found, needed = max(found)
            return names_found, needed
    raise ValueError("the bounds do not conflict")
