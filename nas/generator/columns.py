"""Feature columns of architectures, computed from the places of their choices: plain functions over integer matrices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]  # (n, decisions): the place of each choice among its decision's; -1: the decision does not matter

PATH_CHOICES = 8  # choices; above, paths have too many multisets to learn from
MOST_NODES = 7


def one_hot(places: Places, sizes: Sequence[int]) -> Array:
    """float64 (n, sum of sizes); all zero where a decision does not matter."""
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    out = np.zeros((len(places), int(offsets[-1])))
    rows, decisions = np.nonzero(places >= 0)
    out[rows, offsets[decisions] + places[rows, decisions]] = 1.0
    return out


def groups_of_equal_choices(decisions: Mapping[str, Sequence[Any]]) -> list[list[int]]:
    """Positions of decisions with the same choices, for every set of choices that at least three decisions share."""
    found: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, choices in enumerate(decisions.values()):
        found[tuple(map(repr, choices))].append(position)
    return [positions for positions in found.values() if len(positions) >= 3]


def choice_counts(places: Places, group: Sequence[int], size: int) -> Array:
    """float64 (n, size): how often each choice occurs among the decisions of a group."""
    return np.stack([(places[:, group] == choice).sum(axis=1) for choice in range(size)], axis=1).astype(float)


def cell_paths(edges: int) -> list[list[int]]:
    """Paths from the first to the last node of the complete directed acyclic graph with so many edges, as lists of edges.

    Edges are numbered as cell spaces spell them, by target and then by source: (0→1), (0→2), (1→2), (0→3), …
    Empty where no graph of 4 to 7 nodes has that many edges.
    """
    nodes = next((n for n in range(4, MOST_NODES + 1) if n * (n - 1) // 2 == edges), 0)
    paths = [[0]] if nodes else []
    for node in range(1, nodes - 1):  # extend every path that may still visit ``node``
        paths += [[*path, node] for path in paths]
    number = lambda source, target: target * (target - 1) // 2 + source  # noqa: E731  # reads as the formula it is
    return [[number(a, b) for a, b in pairwise([*path, nodes - 1])] for path in paths]


class PathCounts:
    """How often each multiset of choices occurs along the paths of each length through a cell.

    Args:
        reference: int64 (n, decisions); multisets that never occur in it get no column.
        group: positions of the cell's edges, in order.
        size: number of choices of each edge.
    """

    def __init__(self, reference: Places, group: Sequence[int], size: int) -> None:
        self._base = size + 1  # one more for "does not matter"
        self._paths = [[group[edge] for edge in path] for path in cell_paths(len(group))]
        self._known = np.unique(self._codes(reference))

    def __call__(self, places: Places) -> Array:
        """float64 (n, multisets)."""
        codes = self._codes(places)
        column = np.minimum(np.searchsorted(self._known, codes), len(self._known) - 1)
        rows, paths = np.nonzero(self._known[column] == codes)
        out = np.zeros((len(places), len(self._known)))
        np.add.at(out, (rows, column[rows, paths]), 1.0)
        return out

    def _codes(self, places: Places) -> Places:
        """int64 (n, paths): one number for each multiset; its digits tell the length, too."""
        codes = np.zeros((len(places), len(self._paths)), dtype=np.int64)
        for number, path in enumerate(self._paths):
            for digit in np.sort(places[:, path], axis=1).T + 2:  # -1 (does not matter) becomes 1, so no digit is 0
                codes[:, number] = codes[:, number] * (self._base + 2) + digit
        return codes
