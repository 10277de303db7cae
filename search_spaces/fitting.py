"""How one architecture is brought under, up to, or near the bounds of a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.budget import BOUNDS, Budget, shown, under
from search_spaces.errors import BudgetInfeasibleError
from search_spaces.space import Triple, Values

if TYPE_CHECKING:
    from search_spaces.fitted import FittedSpace

_TRIES = 32  # to meet lower bounds
_FORGETS = 0.2  # weight of the newest in a running mean
_STEPS = 64  # of a path; bisection takes six looks at it


class Fit:
    """One budget's fitting of values; holds what the steps share."""

    def __init__(
        self,
        space: FittedSpace,
        budget: Budget,
        rng: np.random.Generator,
        in_channels: int | None = None,
        classes: int | None = None,
    ) -> None:
        self.space = space
        self.budget = budget
        self.rng = rng
        self.size = space._size(budget.image_size)
        self.in_channels = space.in_channels if in_channels is None else in_channels
        self.classes = space.classes if classes is None else classes
        self._share = 0.5  # of the decisions in which networks lately simplified had to give way: the next one's first guess
        self.corners = space._fitting(budget, self.in_channels, self.classes)

    @property
    def reach(self) -> float:
        """How deep networks are drawn: deeper ones would only be cut back to this budget. Remembered by the space."""
        known = self.space.__dict__.setdefault("_reach_cache", {})
        key = (self.budget, self.in_channels, self.classes)
        if key not in known:
            if len(known) > 256:
                known.clear()
            known[key] = self.space._reach(self)
        return known[key]

    def figures(self, values: Sequence[Any]) -> Triple:
        return self.space._figures(values, self.size, self.in_channels, self.classes)

    def admits(self, values: Sequence[Any]) -> bool:
        return self.under(values) and (not self.budget.lower or self.budget.admits_figures(*self.figures(values)))

    def under(self, values: Sequence[Any]) -> bool:
        return self.space._keeps(values, self.budget, self.size, self.in_channels, self.classes)

    def fitted(self, values: Values, fill: bool) -> Values:
        """Widths first, structure only if the narrowest network of this structure is too large still."""
        if not self.under(values):
            values = self._shrunk(values)
        if fill:
            values = self._grown(values)
        if self.budget.lower and not self.admits(values):
            values = self._raised(values)
        return values

    def _shrunk(self, values: Values) -> Values:
        values = self.space._settled(list(values))  # of a restricted space's own choices: what is repaired may hold others
        if not self.under(self.narrow(values)):
            values = self.simplified(values)
            if self.under(values):
                return values
        widths = [position for position in self.space._active(values) if position in self.space._widths]
        return self._last_fitting(self._narrowing(values, widths))

    def narrow(self, values: Values) -> Values:
        """The structure of ``values`` with every width at its smallest choice, to be counted."""
        narrow = list(values)
        for position, width in self.space._narrowest:
            narrow[position] = width
        return self.space._countable(narrow)

    def simplified(self, values: Values) -> Values:
        """``values`` with as many structural decisions, in random order, taken from a corner as it takes to fit when narrow."""
        narrow, kept = self.narrow(values), list(values)
        corner = self.corners[int(self.rng.integers(len(self.corners)))].values
        widths, active = self.space._widths, self.space._active(values)
        differing = [p for p in active if values[p] != corner[p] and p not in widths]
        for position in set(range(len(values))).difference(active):  # what the corner's choices bring to life is as in it, too
            narrow[position] = kept[position] = corner[position]
        order = [differing[place] for place in self.rng.permutation(len(differing)).tolist()]

        def step(count: int) -> Values:
            changed = list(narrow)
            for position in order[:count]:
                changed[position] = corner[position]
            return self.space._countable(changed)

        count = _bisect(lambda count: self.under(step(count)), len(order), self._share, start=-1)
        self._share += _FORGETS * (count / max(len(order), 1) - self._share)
        for position in order[:count]:
            kept[position] = corner[position]
        return self.space._settled(kept)

    def _narrowing(self, values: Values, widths: list[int]) -> Callable[[int], Values]:
        """step → ``values`` with all widths brought down together; at the last step they are at their smallest choices."""
        space = self.space
        tables = [space._choices[position] for position in widths]
        starts = [
            _floor(space._places[position], options, values[position]) for position, options in zip(widths, tables, strict=True)
        ]
        dither = self.rng.random(len(widths)).tolist()
        steps = list(zip(widths, tables, starts, dither, strict=True))

        def step(count: int) -> Values:
            changed = list(values)
            share = 1 - count / _STEPS
            for position, options, start, offset in steps if count else ():
                place = int(start * share + offset) if share else 0
                changed[position] = options[place if place < start else start]
            return changed

        return step

    def _last_fitting(self, step: Callable[[int], Values]) -> Values:
        return step(_bisect(lambda count: self.under(step(count)), _STEPS))

    # --- towards the bound ----------------------------------------------------------------------------------------

    def use(self, values: Sequence[Any]) -> float:
        """The largest share of an upper bound in use; without one, how much of the lower bounds is reached; less than 0 above a bound."""
        found = self.figures(values)
        if not under(self.budget, found):
            return -1.0
        figures = dict(zip(BOUNDS, found, strict=True))
        if self.budget.upper:
            return max(figures[name] / high for name, high in self.budget.upper.items())
        reached = [min(figures[name] / low, 1.0) for name, low in self.budget.lower.items()]
        return sum(reached) / len(reached) if reached else 1.0

    def _grown(self, values: Values) -> Values:
        """``values`` widened, and where that is not enough enriched in structure, until the budget is nearly used."""
        for _ in range(4):
            wide = self._widened(values)
            if not self.under(wide):
                values = self._last_fitting(self._between(wide, values))
                break
            values = self._enriched(wide)
        return self._topped(values)

    def _widened(self, values: Values) -> Values:
        wide = list(values)
        for position in self.space._widths.intersection(self.space._active(values)):
            wide[position] = max(self.space._choices[position][-1], wide[position])
        return wide

    def _between(self, wide: Values, values: Values) -> Callable[[int], Values]:
        """step → widths between ``wide`` (step 0) and ``values`` (last step)."""
        space = self.space
        differing = [p for p in range(len(values)) if wide[p] != values[p]]
        floors = {p: _floor(space._places[p], space._choices[p], values[p]) for p in differing}
        dither = dict(zip(differing, self.rng.random(len(differing)).tolist(), strict=True))

        def step(count: int) -> Values:
            if count == _STEPS:
                return values
            changed = list(values)
            for position, floor in floors.items():
                options = space._choices[position]
                rise = int((len(options) - 1 - floor) * (1 - count / _STEPS) + dither[position])
                if rise:
                    changed[position] = options[min(floor + rise, len(options) - 1)]
            return changed

        return step

    def _enriched(self, values: Values) -> Values:
        """Each structural decision in random order at its dearest choice that still fits."""
        structure = [position for position in self.space._active(values) if position not in self.space._widths]
        for place in self.rng.permutation(len(structure)):
            position = structure[place]
            best, most = values, self.use(values)
            for choice in self._choices_but(position, values[position]):
                changed = self._widened(self._set(values, position, choice))
                if (share := self.use(changed)) > most:
                    best, most = changed, share
            values = best
        return values

    def _topped(self, values: Values) -> Values:
        """Single widths one choice up, in random order, while that fits."""
        widths = [position for position in self.space._active(values) if position in self.space._widths]
        for _ in range(3):
            before = list(values)
            for place in self.rng.permutation(len(widths)):
                position = widths[place]
                options = self.space._choices[position]
                floor = _floor(self.space._places[position], options, values[position])
                if floor + 1 < len(options):
                    changed = list(values)
                    changed[position] = options[floor + 1]
                    if self.under(changed):
                        values = changed
            if values == before or self.use(values) > 0.98:
                break
        return values

    def _raised(self, values: Values) -> Values:
        """An architecture that keeps the lower bounds, too: ``values`` or another one, grown."""
        peaks = self.space._peaks(self.size, self.in_channels, self.classes)
        for name, low in self.budget.lower.items():
            place = BOUNDS.index(name)
            if (most := peaks[place].figures[place]) < low:
                word = "largest reachable" if self.space._exact_peaks else "largest found"
                raise self._out_of_reach(f"min_{name}={shown(low)} lies above the {word} {shown(most)}")
        found = self.space._between(self, values)
        if found is None:
            raise self._out_of_reach(f"no architecture found between the bounds ({self.budget})")
        return found

    def grown_between(self, values: Values) -> Values | None:
        """``values``, another one, or the largest there is, grown until it keeps all bounds; None: none came to do so."""
        peaks = self.space._peaks(self.size, self.in_channels, self.classes)
        for start in self._starts(values, [peaks[BOUNDS.index(name)].values for name in self.budget.lower]):
            grown = self._grown(start if self.under(start) else self._shrunk(start))
            if self.admits(grown):
                return grown
        return None

    def _starts(self, values: Values, largest: list[tuple[Any, ...]]) -> Iterator[Values]:
        """Where to grow from: ``values``, random ones, at last the largest that there are."""
        yield values
        for _ in range(_TRIES - 1):
            yield self.space._canonical(self.space._draw(self.rng, self.reach))
        yield from map(list, largest)

    def _out_of_reach(self, reason: str) -> BudgetInfeasibleError:
        smallest = self.space.smallest(self.budget)
        return BudgetInfeasibleError(f"space {self.space.name!r}: {reason}; lower the lower bounds", smallest)

    # --- near a given architecture --------------------------------------------------------------------------------

    def changed(self, values: Values, position: int, choice: Any) -> Values | None:
        """One decision changed, those that it brings to life drawn and narrowed until they fit; None where they cannot."""
        space = self.space
        before = set(space._active(values))
        changed = list(values)
        changed[position] = choice
        fresh = [p for p in space._active(changed) if p not in before]
        if fresh:
            space._refresh(changed, fresh, self.rng)
            changed = space._settled(changed)
            fresh = [p for p in space._active(changed) if p not in before]
        changed = space._settled(changed)
        if not self.under(changed) and fresh:
            widths = [p for p in fresh if p in space._widths]
            step = self._narrowing(changed, widths)
            if not self.under(step(_STEPS)):
                changed = self._set(values, position, choice)  # the least: all new decisions at their first choices
            else:
                changed = self._last_fitting(step)
        return changed if changed != values and self.admits(changed) else None

    def nearest_single(self, values: Values) -> Values | None:
        """The feasible architecture that differs in one decision by the fewest choices; None if no single change is enough."""
        best, least = None, len(max(self.space._choices, key=len)) + 1
        for position in self.space._active(values):
            options = self.space._choices[position]
            floor = _floor(self.space._places[position], options, values[position])
            # A width helps only if its smallest choice does: one look spares the others.
            if position in self.space._widths and (not floor or not self.admits(self._set(values, position, options[0]))):
                continue
            for distance, choice in sorted((abs(place - floor), choice) for place, choice in enumerate(range(len(options)))):
                if distance >= least:
                    break
                changed = self._set(values, position, options[choice])
                if changed != values and self.admits(changed):
                    best, least = changed, distance
                    break
        return best

    def restored(self, values: Values, wanted: Values) -> Values:
        """``values`` with every decision put back to ``wanted`` that can be, in random order."""
        order = [int(place) for place in self.rng.permutation(len(values))]
        again = True
        while again:  # what was put back may have brought to life, or made room for, what could not be put back before
            again = False
            for position in order:
                if values[position] == wanted[position]:
                    continue
                changed = self._set(values, position, wanted[position])
                if changed[position] == wanted[position] and self.admits(changed):
                    again |= position not in self.space._widths
                    values = changed
        return values

    def _set(self, values: Values, position: int, choice: Any) -> Values:
        changed = list(values)
        changed[position] = choice
        return self.space._settled(changed)

    def _choices_but(self, position: int, value: Any) -> list[Any]:
        return [choice for choice in self.space._choices[position] if choice != value]


def _bisect(fits: Callable[[int], bool], last: int, guess: float = 0.5, start: int = 0) -> int:
    """The first step found that fits, when the last one is known to and ``start`` not to; ``guess``: the share of steps looked at first."""
    low, high = start, last
    middle = min(max(round(guess * last), start + 1), last - 1)
    while high - low > 1:
        if fits(middle):
            high = middle
        else:
            low = middle
        middle = (low + high) // 2
    return high


def _floor(places: Mapping[Any, int], options: tuple[Any, ...], value: Any) -> int:
    """The place of ``value`` among the choices; of the next smaller choice for a width between two; 0 below all."""
    place = places.get(value)
    return place if place is not None else max(0, int(np.searchsorted(options, value, side="right")) - 1)
