"""Fits the widths of many networks to a budget at once: the same bisection as one by one, on arrays.

While widths are fitted the structure of a network stays, and with it the chain of operations of each block. So blocks with
the same chain, from all networks, are counted together, with their widths as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from search_spaces.budget import Budget
from search_spaces.network import BYTES, held_elements
from search_spaces.operations import Shape, many_block_tallies
from search_spaces.space import Values

if TYPE_CHECKING:
    from search_spaces.networked import NetworkSpace, Spec

STEPS = 64
_Row = tuple[int, int, int, tuple[int, ...]]  # network, size, elements held beside the block's own, the spec's numbers
_REMEMBERED = 200_000  # marked specs kept
_PROBE = 8  # stands for any width where only the size of an output is asked for


class _Group(NamedTuple):
    """Blocks of one kind: the spec's fixed items, and for each other item where its numbers come from."""

    fixed: dict[int, Any]  # place in the spec → what all blocks share
    constants: np.ndarray  # int64 (items, blocks): numbers that are not fitted
    sources: np.ndarray  # int64 (items, blocks): column of the width that an item takes, or -1: the constant
    places: tuple[int, ...]  # items' places in the spec
    sizes: np.ndarray  # int64 (blocks,)
    networks: np.ndarray  # int64 (blocks,)


class Batch:
    """Networks of one space, by their canonical values, ready to be counted with any widths."""

    def __init__(self, space: NetworkSpace, many: Sequence[Values], image_size: int, in_channels: int, classes: int) -> None:
        self.space = space
        self.columns = {position: column for column, position in enumerate(sorted(space._widths))}
        self.count = len(many)
        kinds: dict[tuple[Any, ...], list[_Row]] = {}
        known = space._marked_specs
        for network, values in enumerate(many):
            size, held = image_size, held_elements(image_size, in_channels, 0)
            for spec in space._specs(self._marked(values), in_channels, classes):
                kind, numbers, after = known.get((spec, size)) or self._learn(spec, size)
                rows = kinds.get(kind)
                if rows is None:
                    rows = kinds[kind] = []
                rows.append((network, size, held, numbers))
                size, held = after, image_size**2
        self.groups = [_group(kind, rows) for kind, rows in kinds.items()]
        rows = [row for found in kinds.values() for row in found]
        self._networks = np.array([row[0] for row in rows])
        self._held = np.array([row[2] for row in rows])
        self._order = np.argsort(self._networks, kind="stable")
        self._starts = np.searchsorted(self._networks[self._order], np.arange(self.count))

    def _marked(self, values: Values) -> Values:
        """The values with each width replaced by a negative number that says which width it is."""
        marked = list(values)
        for position, column in self.columns.items():
            marked[position] = -1 - column
        return marked

    def _learn(self, spec: Spec, size: int) -> tuple[tuple[Any, ...], tuple[int, ...], int]:
        """A marked spec taken apart: its kind, its numbers, and the size of its output; remembered by the space."""
        known = self.space._marked_specs
        if len(known) > _REMEMBERED:
            known.clear()
        kind = tuple([None if type(item) is int else item for item in spec])
        numbers = tuple([item for item in spec if type(item) is int])
        probe = tuple([_PROBE if type(item) is int and item < 0 else item for item in spec])
        known[spec, size] = found = kind, numbers, self.space._known_tally(probe, size)[3]
        return found

    def figures(self, widths: np.ndarray) -> np.ndarray:
        """int64 (3, networks): FLOPs, parameters, memory, for ``widths`` int64 (networks, width columns)."""
        parts = []
        for group in self.groups:
            taken = np.where(group.sources >= 0, widths[group.networks, group.sources], group.constants)
            spec: list[Any] = [None] * (len(group.fixed) + len(group.places))
            for place, item in group.fixed.items():
                spec[place] = item
            for place, numbers in zip(group.places, taken, strict=True):
                spec[place] = numbers
            branch, shortcut = self.space._uncached_operations(tuple(spec), group.sizes)
            found = many_block_tallies(branch, shortcut, Shape(spec[1], group.sizes))  # type: ignore[arg-type]  # here sizes are arrays
            parts.append(np.broadcast_arrays(found.flops, found.parameters, found.peak))
        table = np.concatenate([np.stack(part) for part in parts], axis=1)
        table[2] = BYTES * (table[2] + self._held)
        table = table[:, self._order]
        sums = np.add.reduceat(table[:2], self._starts, axis=1)
        return np.concatenate([sums, np.maximum.reduceat(table[2:], self._starts, axis=1)])

    def under(self, widths: np.ndarray, budget: Budget) -> np.ndarray:
        """bool (networks,): which keep the upper bounds."""
        limits = np.array(
            [bound if bound is not None else np.inf for bound in (budget.flops, budget.parameters, budget.memory)]
        )
        return np.all(self.figures(widths) <= limits[:, None], axis=0)


def _group(kind: tuple[Any, ...], rows: list[_Row]) -> _Group:
    places = tuple(place for place, item in enumerate(kind) if item is None)
    numbers = np.array([row[3] for row in rows], dtype=np.int64).T
    return _Group(
        fixed={place: item for place, item in enumerate(kind) if item is not None},
        constants=np.maximum(numbers, 0),
        sources=np.where(numbers < 0, -1 - numbers, -1),
        places=places,
        sizes=np.array([row[1] for row in rows], dtype=np.int64),
        networks=np.array([row[0] for row in rows], dtype=np.int64),
    )


def fit_widths(
    space: NetworkSpace, many: Sequence[Values], budget: Budget, image_size: int, rng: np.random.Generator
) -> list[Values]:
    """Each network with its widths brought down together just until it fits; the narrowest of each structure must fit."""
    batch = Batch(space, many, image_size, space.in_channels, space.classes)
    positions = list(batch.columns)
    tables = _padded([space._choices[position] for position in positions])
    widths = np.array([[values[position] for position in positions] for values in many], dtype=np.int64)
    start = np.stack([np.searchsorted(tables[c], widths[:, c], side="right") - 1 for c in range(len(positions))], axis=1).clip(
        0
    )
    dither = rng.random(widths.shape)
    columns = np.arange(len(positions))

    def step(counts: np.ndarray) -> np.ndarray:
        share = (1 - counts / STEPS)[:, None]
        places = np.minimum(start, (start * share + dither * (share > 0)).astype(np.int64))
        return np.where(counts[:, None] == 0, widths, tables[columns, places])

    low = np.zeros(len(many), dtype=np.int64)
    high = np.full(len(many), STEPS)
    fits_at_once = batch.under(widths, budget)
    while (high - low > 1).any():
        middle = (low + high) // 2
        under = batch.under(step(middle), budget)
        low, high = np.where(under, low, middle), np.where(under, middle, high)
    chosen = step(np.where(fits_at_once, 0, high)).tolist()
    fitted: list[Values] = []
    for values, row in zip(many, chosen, strict=True):
        found = list(values)
        for position, width in zip(positions, row, strict=True):
            found[position] = width
        fitted.append(space._canonical(found))
    return fitted


def _padded(tables: Sequence[Sequence[int]]) -> np.ndarray:
    """int64 (tables, longest): each padded with a number that no width reaches."""
    longest = max(map(len, tables))
    return np.array([[*table, *[np.iinfo(np.int64).max] * (longest - len(table))] for table in tables], dtype=np.int64)
