"""When nothing fits a budget: what the smallest reachable costs are, and which bounds are in each other's way."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from search_spaces.budget import BOUNDS, Budget, shown
from search_spaces.errors import BudgetInfeasibleError

C = TypeVar("C", bound=tuple[Any, ...])  # a tuple whose first item is the triple of figures


def pareto(corners: Iterable[C]) -> list[C]:
    """Those that no other beats or equals in all three figures."""
    front: list[C] = []
    for corner in sorted(corners, key=lambda c: c[0]):
        if not any(all(a <= b for a, b in zip(kept[0], corner[0], strict=True)) for kept in front):
            front.append(corner)
    return front


def infeasible(
    space: str, budget: Budget, figures: ArrayLike, exact: bool = True, images: bool = True, together: bool = True
) -> BudgetInfeasibleError:
    """The error for a budget that none of the ``figures`` fits.

    It names the upper bound that is furthest out of reach alone, else the smallest set of upper bounds that conflict, the
    tightest first; where the upper bounds can be kept, what can then be reached of the lower ones.

    Args:
        figures: (n, 3): FLOPs, parameters, memory of every architecture; for upper bounds the Pareto-smallest ones do.
        exact: whether no other architecture is smaller in one figure.
        images: whether smaller images would help.
        together: whether none is smaller in several figures.
    """
    table = np.asarray(figures)
    smallest = dict(zip(BOUNDS, table.min(axis=0).tolist(), strict=True))
    within = np.all(table <= [budget.upper.get(name, np.inf) for name in BOUNDS], axis=1)
    if within.any():
        reason = f"{_missed(budget, table[within])}; lower the lower bounds"
    else:
        reason = _exceeded(budget, table, smallest, exact, images, together)
    return BudgetInfeasibleError(f"space {space!r}: {reason}", smallest)


def _missed(budget: Budget, table: np.ndarray) -> str:
    """How near architectures with these figures, which keep the upper bounds, come to the lower ones."""
    places = [BOUNDS.index(name) for name in budget.lower]
    lows = np.array(list(budget.lower.values()))
    reached = table[:, places]
    kept = " and ".join(f"{name} ≤ {shown(high)}" for name, high in budget.upper.items())
    for name, low, most in zip(budget.lower, lows, reached.max(axis=0), strict=True):
        if most < low:
            return f"min_{name}={shown(low)} lies above the largest reachable {shown(most)}" + (f" with {kept}" if kept else "")
    nearest = reached[np.argmax(np.min(reached / lows, axis=1))]
    found = " and ".join(f"{name} {shown(value)}" for name, value in zip(budget.lower, nearest, strict=True))
    return f"no architecture lies between the bounds ({budget}); the nearest reaches {found}"


def _exceeded(budget: Budget, table: np.ndarray, smallest: dict[str, float], exact: bool, images: bool, together: bool) -> str:
    """Which upper bounds cannot be kept, alone or together."""
    upper = budget.upper
    alone = {name: smallest[name] / high for name, high in upper.items() if smallest[name] > high}
    size = f" at {budget.image_size} px" if budget.image_size else ""
    if alone:
        worst = max(alone, key=lambda name: alone[name])
        word = "smallest reachable" if exact else "smallest found"
        reason = f"budget {worst}={shown(upper[worst])} lies below the {word} {shown(smallest[worst])}{size}"
        return f"{reason}; raise the bound" + (" or choose smaller images" if images else "")
    word = "smallest reachable" if together else "smallest found"
    searched = "" if together else ", as far as was searched"
    names, needed = _tightest(upper, table)
    bounds = " and ".join(f"{name} ≤ {shown(upper[name])}" for name in names)
    last = names[-1]
    rest = " and ".join(names[:-1])
    reason = (
        f"{bounds} can each be met but not together{size}{searched}: with {rest} kept, the {word} {last} is {shown(needed)}"
    )
    return f"{reason}; raise one of them"


def _tightest(upper: dict[str, float], table: np.ndarray) -> tuple[list[str], float]:
    """The fewest bounds that conflict; of several such sets, the one whose last bound must rise by the largest factor."""
    keeps = {name: table[:, BOUNDS.index(name)] <= high for name, high in upper.items()}
    for count in range(2, len(upper) + 1):
        found: list[tuple[float, list[str], float]] = []
        for names in combinations(upper, count):
            for last in names:
                kept = [name for name in names if name != last]
                reach = table[np.all([keeps[name] for name in kept], axis=0), BOUNDS.index(last)]
                if len(reach) and (least := reach.min()) > upper[last]:
                    found.append((least / upper[last], [*kept, last], least))
        if found:
            _, names_found, needed = max(found)
            return names_found, needed
    raise ValueError("the bounds do not conflict")
