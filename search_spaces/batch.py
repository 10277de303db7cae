"""Fits the widths of many networks to a budget at once: the same bisection as one by one, on arrays.

While widths are fitted the structure of a network stays, and with it the make of each block. So blocks of one make, from
all networks, are counted together, with their widths as arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from operator import getitem
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from search_spaces.budget import Budget
from search_spaces.formulas import Formula
from search_spaces.network import BYTES, BlockOperations, Spec, block_formula, held_elements, split
from search_spaces.space import Values

if TYPE_CHECKING:
    from search_spaces.fitting import Fit
    from search_spaces.networked import NetworkSpace

STEPS = 64
_REMEMBERED = 200_000  # blocks known
_PROBE = 8  # stands for any width where only the size of an output is asked for


class KnownBlocks:
    """The blocks that a space has met, as specs with their widths left open (``Widths``), numbered; what each is, as arrays."""

    def __init__(self, operations: BlockOperations) -> None:
        self._operations = operations
        self.found: dict[tuple[Spec, int], tuple[int, int]] = {}  # spec and size → its number, and the size of its output
        self.formulas: list[Formula] = []
        self._places: dict[Spec, int] = {}  # make → place of its formula
        self._formula, self._size, self._first, self._numbers = array("q"), array("q"), array("q"), array("q")

    def learn(self, spec: Spec, size: int) -> tuple[int, int]:
        """Number a block that is new."""
        make, numbers = split(spec)
        formula = block_formula(self._operations, make)
        if make not in self._places:
            self._places[make] = len(self.formulas)
            self.formulas.append(formula)
        self._formula.append(self._places[make])
        self._size.append(size)
        self._first.append(len(self._numbers))
        self._numbers.extend(numbers)
        after = formula.one(*(_PROBE if number < 0 else number for number in numbers), size)[3]
        self.found[spec, size] = known = len(self.found), after
        return known

    def groups(self, blocks: np.ndarray, networks: np.ndarray) -> Iterator[_Group]:
        """The numbered ``blocks`` of ``networks``, int64 (blocks,) both, by their formulas."""
        formulas, sizes = np.array(self._formula)[blocks], np.array(self._size)[blocks]
        firsts, numbers = np.array(self._first)[blocks], np.array(self._numbers)
        for place in np.unique(formulas).tolist():
            formula = self.formulas[place]
            rows = np.flatnonzero(formulas == place)
            taken = numbers[firsts[rows] + np.arange(formula.arguments - 1)[:, None]]
            sources = np.where(taken < 0, -1 - taken, -1)
            yield _Group(formula, rows, np.maximum(taken, 0), sources, sizes[rows], networks[rows])


class _Group(NamedTuple):
    """Blocks of one make: their formula, and for each of its arguments where it comes from."""

    formula: Formula
    rows: np.ndarray  # int64 (blocks,): which of the batch's blocks
    constants: np.ndarray  # int64 (numbers, blocks): those that are not fitted
    sources: np.ndarray  # int64 (numbers, blocks): column of the width that a number takes, or -1: the constant
    sizes: np.ndarray  # int64 (blocks,)
    networks: np.ndarray  # int64 (blocks,)


class Batch:
    """Networks of one space, by their structures (``Widths``), ready to be counted with any widths."""

    def __init__(
        self, space: NetworkSpace, structures: Sequence[Values], image_size: int, in_channels: int, classes: int
    ) -> None:
        known = space._known_blocks
        if len(known.found) > _REMEMBERED:
            known = space._known_blocks = KnownBlocks(space._operations)
        found, blocks, counts = known.found, array("q"), array("q")
        for structure in structures:
            specs, size = space._specs(structure, in_channels, classes), image_size
            for spec in specs:
                number, size = found.get((spec, size)) or known.learn(spec, size)
                blocks.append(number)
            counts.append(len(specs))
        sizes = np.array(counts, dtype=np.int64)
        networks = np.repeat(np.arange(len(structures)), sizes)
        self._groups = list(known.groups(np.array(blocks), networks))
        self._starts = np.cumsum(sizes) - sizes
        self._held = np.full(len(blocks), held_elements(image_size, in_channels, 1))
        self._held[self._starts] = held_elements(image_size, in_channels, 0)

    def figures(self, widths: np.ndarray) -> np.ndarray:
        """int64 (3, networks): FLOPs, parameters, memory, for ``widths`` int64 (networks, width columns)."""
        table = np.empty((3, len(self._held)), dtype=np.int64)
        for group in self._groups:
            taken = np.where(group.sources >= 0, widths[group.networks, group.sources], group.constants)
            for place, figure in enumerate(group.formula.many(*taken, group.sizes)[:3]):
                table[place, group.rows] = figure
        table[2] = BYTES * (table[2] + self._held)
        sums = np.add.reduceat(table[:2], self._starts, axis=1)
        return np.concatenate([sums, np.maximum.reduceat(table[2:], self._starts, axis=1)])

    def under(self, widths: np.ndarray, budget: Budget) -> np.ndarray:
        """bool (networks,): which keep the upper bounds."""
        limits = np.array(
            [bound if bound is not None else np.inf for bound in (budget.flops, budget.parameters, budget.memory)]
        )
        return np.all(self.figures(widths) <= limits[:, None], axis=0)


class Widths:
    """The widths of a space: which decisions they are, their choices, and how a network is written with its widths left open.

    In such a *structure* the width in column c of an array of widths stands as the mark ``-1 - c``.
    """

    def __init__(self, space: NetworkSpace) -> None:
        self.positions = sorted(space._widths)
        self.tables = _padded([space._choices[position] for position in self.positions])
        self._columns = np.arange(len(self.positions))
        self._marks = [-1 - column for column in range(len(self.positions))]
        self.choices = list(space._choices)
        for position, mark in zip(self.positions, self._marks, strict=True):
            self.choices[position] = (mark,) * len(space._choices[position])

    def at(self, places: np.ndarray) -> np.ndarray:
        """int64 (n, widths): the widths at these places among their choices."""
        found: np.ndarray = self.tables[self._columns, places]
        return found

    def filled(self, structure: Values, widths: Sequence[int]) -> Values:
        """A structure with these widths in place of its marks."""
        marked = dict(zip(self._marks, widths, strict=True))
        return list(map(marked.get, structure, structure))


def sample_batch(space: NetworkSpace, n: int, fit: Fit) -> list[Values]:
    """``n`` random networks inside the upper bounds, drawn as ``space.sample`` draws one: canonical values."""
    known, budget = space._open_widths, fit.budget
    places = space._draw_places(n, fit.rng, fit.reach)
    structures = [space._canonical(list(map(getitem, known.choices, row))) for row in places.tolist()]
    start = places[:, known.positions]
    widths, large = np.zeros_like(start), np.arange(n)
    if fit.reach:  # else hardly any fits
        batch = Batch(space, structures, fit.size, fit.in_channels, fit.classes)
        widths = _fitted(batch, known, start, budget, fit.rng)
        large = np.flatnonzero(~batch.under(np.broadcast_to(known.tables[:, 0], start.shape), budget))
    if len(large):
        # What a corner brings to life takes its smallest width, whatever ``start`` says: no mark stands there.
        simple = [fit.simplified(structures[row]) for row in large.tolist()]
        batch = Batch(space, simple, fit.size, fit.in_channels, fit.classes)
        widths[large] = _fitted(batch, known, start[large], budget, fit.rng)
        for row, structure in zip(large.tolist(), simple, strict=True):
            structures[row] = structure
    return [known.filled(structure, row) for structure, row in zip(structures, widths.tolist(), strict=True)]


def _fitted(batch: Batch, known: Widths, start: np.ndarray, budget: Budget, rng: np.random.Generator) -> np.ndarray:
    """int64 (n, widths): all widths of a network brought down together from ``start``, their places, just until it fits."""
    dither = rng.random(start.shape)

    def step(counts: np.ndarray) -> np.ndarray:
        share = (1 - counts / STEPS)[:, None]
        lowered = np.minimum(start, (start * share + dither * (share > 0)).astype(np.int64))
        return known.at(np.where(counts[:, None] == 0, start, lowered))

    low = np.zeros(len(start), dtype=np.int64)
    high = np.full(len(start), STEPS)
    fits_at_once = batch.under(step(low), budget)
    while (high - low > 1).any():
        middle = (low + high) // 2
        under = batch.under(step(middle), budget)
        low, high = np.where(under, low, middle), np.where(under, middle, high)
    return step(np.where(fits_at_once, 0, high))


def _padded(tables: Sequence[Sequence[int]]) -> np.ndarray:
    """int64 (tables, longest): each padded with a number that no width reaches."""
    longest = max(map(len, tables))
    return np.array([[*table, *[np.iinfo(np.int64).max] * (longest - len(table))] for table in tables], dtype=np.int64)
