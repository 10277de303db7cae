"""What the surrogate sees of an architecture: feature columns in parts, each the input of one kernel.

The parts, each with weights that are learnt (a part that says nothing about a space is switched off by the data):

* ``joint``: everything at once, so that its kernel knows interactions of all orders: one-hot decisions, weighted by one
  weight per decision times one per choice (the choices' weights shared by all decisions with the same choices); the places
  of decisions with many numeric choices, so that near widths are near; counts of equal choices; shares of the budget;
* ``paths``: where the decisions with the same choices are as many as the edges of a complete directed acyclic graph
  (6, 10, 15 or 21) and belong to no block, the multisets of choices along the paths from its first node to its last. A
  hypothesis about the space: the benefit is large where it is a cell, and elsewhere the weight goes to zero;
* ``counts``: how often each choice occurs among decisions with the same choices: what matters where positions do not. Left
  out, also of ``joint``, where decisions are tied: the weights of roles say the same there with fewer columns;
* ``cost``: shares of the budget's upper bounds, or the logarithm of the FLOPs where there are none;
* ``proxies``: named zero-cost scores, where a function that computes them is given; a weight for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.generator.columns import (
    PATH_CHOICES,
    Array,
    PathCounts,
    Places,
    cell_paths,
    choice_counts,
    groups_of_equal_choices,
    one_hot,
)
from nas.generator.costs import REMEMBERED, Costs
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from search_spaces import Architecture

Proxies = Callable[["Architecture"], Mapping[str, float]]

PARTS = ("joint", "paths", "counts", "cost", "proxies")
TIED_ABOVE = 96  # decisions; above, a decision's weight is its block's times its role's: the fit stays fast and determined
NOISE, NOISE_TIED = 0.01, 0.3  # prior median of the noise's variance, scores having variance one; what ties hide is noise, too
ORDERED_FROM = 6  # numeric choices; with fewer, one-hot columns learn as much
OWN_WEIGHTS = 24  # columns of a part; above, they share one weight
FARTHEST = 1000.0  # standard deviations from the mean, of a column: beyond, a network is unlike all others anyway


@dataclass(frozen=True)
class Part:
    """One kernel's input: how columns share weights, and the weights' log-normal priors.

    Attributes:
        tie: float64 (columns, weights): the logarithm of a column's weight is ``tie @ log_weights``.
        mean, sd: float64 (weights,): prior of the log weights.
    """

    name: str
    tie: Array
    mean: Array
    sd: Array


class Representation:
    """Turns architectures of one space under one budget into the columns of each part.

    Args:
        costs: of the space and the budget under which the architectures live.
        reference: a feasible sample that sets the columns' scales (mean 0, standard deviation 1) and the known paths.
        parts: which parts to use; leaving out ``cost`` or ``counts`` leaves these columns out of ``joint``, too.

    Raises:
        InputError: none of the parts has a column in this space.

    Attributes:
        parts: the kernels' inputs.
        decisions: how many the space has.
        tied: whether they are so many that they share weights.
        noise: prior median of the variance of what the columns do not explain.
    """

    def __init__(
        self,
        costs: Costs,
        reference: Sequence[Architecture],
        parts: Sequence[str] = PARTS,
    ) -> None:
        space = costs.space
        self._space, self._costs = space, costs
        self._proxies: Proxies | None = None
        self._score_names: list[str] = []
        self._names = tuple(space.decisions)
        self.decisions = len(self._names)
        self.tied = self.decisions > TIED_ABOVE
        self.noise = NOISE_TIED if self.tied else NOISE
        self._places = [{choice: place for place, choice in enumerate(choices)} for choices in space.decisions.values()]
        self._sizes = [len(places) for places in self._places]
        self._groups = groups_of_equal_choices(space.decisions)
        self._ordered = [i for i, choices in enumerate(space.decisions.values()) if _is_ordered(choices)]
        self._conditional = any(len(space.active(a)) < len(self._names) for a in reference)
        self._cache: dict[str, tuple[list[int], list[float]]] = {}
        self._n_costs = max(1, len(costs.budget.upper) if costs.budget is not None else 0)
        places, shares = self._raw(reference)
        self._path_counts = [
            PathCounts(places, group, self._sizes[group[0]])
            for group in self._groups
            if cell_paths(len(group))
            and self._sizes[group[0]] <= PATH_CHOICES
            and all(space.block_of(self._names[i]) is None for i in group)  # a chain of blocks is no cell
        ]
        raw = self._blocks(places, shares)
        self._centre = {name: block.mean(axis=0) for name, block in raw.items()}
        self._scale = {name: np.where((sd := block.std(axis=0)) > 1e-9, sd, 1.0) for name, block in raw.items()}
        widths = {name: block.shape[1] for name, block in raw.items()}
        wanted = [name for name in PARTS if name in parts and name != "proxies"]
        self._inputs: dict[str, tuple[str, ...]] = {name: (name,) for name in wanted if name != "joint" and widths[name]}
        if "joint" in wanted:
            columns = [n for n in ("ordered", "counts", "cost") if widths[n] and (n == "ordered" or n in self._inputs)]
            self._inputs = {"joint": ("onehot", *columns), **self._inputs}
        if not self._inputs:
            raise InputError(f"generator option parts={tuple(parts)} sees nothing of space {space.name!r}; add 'joint'")
        self.parts = tuple(self._part(name, widths) for name in self._inputs)

    def encode(self, architectures: Sequence[Architecture]) -> tuple[Array, ...]:
        """One float64 (n, columns) for each of ``parts``."""
        blocks = self._blocks(*self._raw(architectures))
        if self._proxies is not None:
            blocks["proxies"] = self._scores(architectures)
        for name in blocks:
            if name != "onehot":  # a cost may be infinite, a score missing: then it is the mean
                scaled = (blocks[name] - self._centre[name]) / self._scale[name]
                blocks[name] = np.nan_to_num(np.clip(scaled, -FARTHEST, FARTHEST))
        return tuple(np.concatenate([blocks[name] for name in inputs], axis=1) for inputs in self._inputs.values())

    def with_proxies(self, proxies: Proxies, scored: Sequence[Architecture]) -> Representation:
        """The same with one part more, on scales that the networks ``scored`` set: each costs passes through a network."""
        other = copy(self)
        other._proxies = proxies
        finite = [name for architecture in scored for name, score in proxies(architecture).items() if np.isfinite(score)]
        other._score_names = sorted(set(finite))
        if not other._score_names:
            return self
        scores = other._scores(scored)
        other._centre = {**self._centre, "proxies": np.nanmean(scores, axis=0)}
        other._scale = {**self._scale, "proxies": np.where((sd := np.nanstd(scores, axis=0)) > 1e-9, sd, 1.0)}
        other._inputs = {**self._inputs, "proxies": ("proxies",)}
        other.parts = (*self.parts, _plain("proxies", scores.shape[1], shift=0.0))
        return other

    # --- columns ------------------------------------------------------------------------------------------------

    def _raw(self, architectures: Sequence[Architecture]) -> tuple[Places, Array]:
        if len(self._cache) >= REMEMBERED:
            self._cache.clear()
        rows = [self._cache.get(a.key) or self._cache.setdefault(a.key, self._row(a)) for a in architectures]
        places, costs = zip(*rows, strict=True) if rows else ((), ())
        n = len(rows)
        return (
            np.array(places, dtype=np.int64).reshape(n, len(self._names)),
            np.array(costs, dtype=float).reshape(n, self._n_costs),
        )

    def _scores(self, architectures: Sequence[Architecture]) -> Array:
        """float64 (n, proxies); NaN where a network lacks one, or it is infinite."""
        assert self._proxies is not None
        found = [self._proxies(architecture) for architecture in architectures]
        table = [[scores.get(name, np.nan) for name in self._score_names] for scores in found]
        scores = np.array(table, dtype=float).reshape(len(found), len(self._score_names))
        return np.where(np.isfinite(scores), scores, np.nan)

    def _row(self, architecture: Architecture) -> tuple[list[int], list[float]]:
        try:
            places = [places[value] for places, value in zip(self._places, architecture.values_tuple, strict=True)]
        except KeyError:  # a published point may lie between the choices: take the nearest
            nearest = self._space.encode(architecture) * (np.array(self._sizes) - 1)
            places = [int(place) for place in np.rint(nearest)]
        if self._conditional:
            active = self._space.active(architecture)
            places = [place if name in active else -1 for name, place in zip(self._names, places, strict=True)]
        return places, self._costs.shares(architecture)

    def _blocks(self, places: Places, costs: Array) -> dict[str, Array]:
        n = len(places)
        counts = [choice_counts(places, group, self._sizes[group[0]]) for group in (() if self.tied else self._groups)]
        paths = [count(places) for count in self._path_counts]
        empty = np.zeros((n, 0))
        of_ordered = places[:, self._ordered]
        ordered = np.where(of_ordered < 0, np.nan, of_ordered / (np.array(self._sizes)[self._ordered] - 1))
        return {
            "onehot": one_hot(places, self._sizes),
            "ordered": np.where(np.isnan(ordered), 0.5, ordered),
            "counts": np.concatenate([empty, *counts], axis=1),
            "cost": costs,
            "paths": np.concatenate([empty, *paths], axis=1),
        }

    # --- weights ------------------------------------------------------------------------------------------------

    def _part(self, name: str, widths: Mapping[str, int]) -> Part:
        if name != "joint":
            return _plain(name, widths[name], shift=0.0)
        parts = [self._decision_weights(), *(_plain(n, widths[n], shift=-1.0) for n in self._inputs["joint"][1:])]
        tie = np.zeros((sum(len(p.tie) for p in parts), sum(len(p.mean) for p in parts)))
        row = column = 0
        for part in parts:
            tie[row : row + part.tie.shape[0], column : column + part.tie.shape[1]] = part.tie
            row, column = row + part.tie.shape[0], column + part.tie.shape[1]
        return Part(name, tie, np.concatenate([p.mean for p in parts]), np.concatenate([p.sd for p in parts]))

    def _decision_weights(self) -> Part:
        """One weight per decision (of many: one per block times one per role), times one per choice of each group.

        A priori each role matters alike, however many decisions share it: whether there are long-range connections as much
        as the kernels of all blocks together. (With a share for each decision instead, 15 trained networks of a space of
        149 said nothing about others: rank correlation 0.07 against 0.27.)
        """
        roles = Counter(name.rpartition(".")[2] for name in self._names)
        owners: list[tuple[str, ...]] = [(name,) for name in self._names]
        prior = {name: (np.log(2.0 / len(owners)), 1.0) for name in self._names}
        if self.tied:
            owners = [(f"block {self._space.block_of(name)}", f"role {name.rpartition('.')[2]}") for name in self._names]
            prior = {owner: (0.0, 0.7) for owner, _ in owners}
            prior |= {f"role {role}": (np.log(2.0 / (len(roles) * members)), 1.5) for role, members in roles.items()}
        places = {owner: place for place, owner in enumerate(prior)}
        n_choices = sum(self._sizes[group[0]] for group in self._groups)
        tie = np.zeros((sum(self._sizes), len(places) + n_choices))
        starts = np.concatenate([[0], np.cumsum(self._sizes)])
        for position, of_position in enumerate(owners):
            for owner in of_position:
                tie[starts[position] : starts[position + 1], places[owner]] = 1.0
        first = len(places)
        for group in self._groups:
            size = self._sizes[group[0]]
            for position in group:
                tie[starts[position] : starts[position + 1], first : first + size] += np.eye(size)
            first += size
        mean = np.concatenate([[mean for mean, _ in prior.values()], np.zeros(n_choices)])
        sd = np.concatenate([[sd for _, sd in prior.values()], np.full(n_choices, 0.7)])
        return Part("onehot", tie, mean, sd)


def _is_ordered(choices: Sequence[Any]) -> bool:
    numeric = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
    return numeric and len(choices) >= ORDERED_FROM


def _plain(name: str, columns: int, shift: float) -> Part:
    """One weight per column, or one for all of many; a priori the columns together span about one length scale."""
    weights = columns if columns <= OWN_WEIGHTS and name not in ("paths", "ordered") else 1
    tie = np.eye(columns) if weights == columns else np.ones((columns, 1))
    return Part(name, tie, np.full(weights, shift - np.log(columns)), np.ones(weights))
