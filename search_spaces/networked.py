"""What spaces of real networks share: blocks described once, from which the fast figures, the cost and the module follow."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from operator import getitem
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.batch import KnownBlocks, Widths, sample_batch
from search_spaces.budget import Budget
from search_spaces.cost import Cost
from search_spaces.errors import InputError
from search_spaces.fitted import FittedSpace
from search_spaces.fitting import Fit
from search_spaces.network import (
    BYTES,
    BlockTally,
    Parting,
    Spec,
    block_formula,
    held_elements,
    network_cost,
    network_memory,
    parting,
    split,
)
from search_spaces.operations import Block, Operations
from search_spaces.space import Triple, Values

if TYPE_CHECKING:
    from torch import nn

IMAGE_SIZE = 96
_WORTH_A_BATCH = 32
_BATCH = 8192
_REACHES = (1.0, 0.7, 0.4, 0.2)
_PROBES = 16
_LARGEST_WIDTH = 16_384
_REMEMBERED = 100_000  # figures of blocks and sections kept; then the memory starts afresh


Section = tuple[Any, ...]


class NetworkSpace(FittedSpace):
    """A space of networks that are chains of named blocks.

    Args:
        decisions: all that the space knows.
        choices: fewer choices for some decisions, to search a part of the space; architectures stay points of the whole.
    """

    _published: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # values beyond the choices that published designs hold

    def __init__(
        self,
        decisions: Mapping[str, Sequence[Any]],
        *,
        classes: int,
        in_channels: int,
        image_size: int | None,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._off = [options[0] for options in decisions.values()]
        chosen = dict(decisions)
        for name, fewer in (choices or {}).items():
            if name not in decisions or not set(fewer) <= set(decisions[name]):
                raise InputError(
                    f"space {self.name!r} has no decision {name!r} with choices {tuple(fewer)!r}; see its decisions"
                )
            chosen[name] = tuple(option for option in decisions[name] if option in fewer)
        super().__init__(chosen, classes=classes, in_channels=in_channels, image_size=image_size or IMAGE_SIZE)
        self._all_choices = {name: tuple(options) for name, options in decisions.items()}
        self._width_positions = frozenset(self._index[name] for name in self._width_names())
        self._open_widths = Widths(self)
        self._lacking = {at for at, places in enumerate(self._places) if self._off[at] not in places}
        self._choice_counts = np.array([len(options) for options in self._choices])
        self._drawn_counts: dict[float, np.ndarray] = {}  # by reach
        self._is_depth = np.array([name.endswith(".depth") for name in self.names])
        self._forget()

    def _forget(self) -> None:
        self._known_blocks = KnownBlocks(self._operations)
        self._makes: dict[Any, Callable[..., tuple[int, ...]]] = {}  # how blocks of a make are counted
        self._parts: dict[Any, Parting] = {}
        self._tallies: dict[tuple[Section, int], BlockTally] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What was counted stays behind when a space is copied or pickled: its formulas are compiled for this process."""
        remembered = ("_known_blocks", "_makes", "_parts", "_tallies")
        return {name: value for name, value in self.__dict__.items() if name not in remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @abstractmethod
    def _specs(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Spec]:
        """The network's blocks in order; a spec's second item is the block's input channels."""

    def _sections(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Section]:
        """Keys of the network's sections in order; the first is its first block alone.

        A section is one block, or several whose decisions stand together: then their figures are looked up at once, which
        pays where sections recur, as when one decision is changed at a time, or under small budgets.
        """
        return self._specs(values, in_channels, classes)

    def _specs_of(self, section: Section) -> list[Spec]:
        """A section's blocks in order."""
        return [section]

    @abstractmethod
    def _names(self, values: Sequence[Any]) -> Sequence[str]:
        """The blocks' names, in the same order."""

    @staticmethod
    @abstractmethod
    def _operations(spec: Spec, size: int) -> tuple[Operations, Operations | None]:
        """The operations of a block whose input has ``size`` pixels a side, and of its shortcut.

        The spec's numbers and ``size`` may be unknown, and come out as a formula: compute with them, but do not compare them
        (``search_spaces.formulas.larger`` is ``max``).
        """

    @abstractmethod
    def _width_names(self) -> Iterator[str]:
        """The decisions that are widths."""

    @property
    def _widths(self) -> frozenset[int]:
        return self._width_positions

    # --- proposals ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _draw_places(self, n: int, rng: np.random.Generator, reach: float) -> np.ndarray:
        """int64 (n, decisions): random places among each decision's choices; ``reach``: the share of depths to draw from."""

    def _uniform_places(self, n: int, rng: np.random.Generator, reach: float) -> np.ndarray:
        if reach not in self._drawn_counts:
            self._drawn_counts[reach] = np.where(self._is_depth, 1 + reach * (self._choice_counts - 1), self._choice_counts)
        return (rng.random((n, len(self.names))) * self._drawn_counts[reach]).astype(np.int64)

    def _reach(self, fit: Fit) -> float:
        rng = np.random.default_rng(0)  # not the caller's: what a budget's reach is depends on the budget alone
        for reach in _REACHES:
            narrow = [fit.narrow(values) for values in self._draw_raw(_PROBES, rng, reach)]
            if sum(fit.under(values) for values in narrow) >= _PROBES // 2:
                return reach
        return 0.0

    def _draw_raw(self, n: int, rng: np.random.Generator, reach: float = 1.0) -> list[Values]:
        """Random values, those that do not matter included."""
        return [list(map(getitem, self._choices, row)) for row in self._draw_places(n, rng, reach).tolist()]

    def _draw(self, rng: np.random.Generator, reach: float = 1.0) -> Values:
        return self._canonical(self._draw_raw(1, rng, reach)[0])

    def _settled(self, values: Values) -> Values:
        values = self._canonical(values)
        while self._lacking:  # in a restricted space what comes to life may hold a choice that was taken away
            strange = [at for at in self._active(values) if at in self._lacking and values[at] == self._off[at]]
            if not strange:
                break
            values[strange[0]] = self._choices[strange[0]][0]
            values = self._canonical(values)
        return values

    def _countable(self, values: Values) -> Values:
        return self._settled(values) if self._lacking else values  # a network is counted without its idle decisions anyway

    def _refresh(self, values: Values, fresh: list[int], rng: np.random.Generator) -> None:
        drawn = self._draw_raw(1, rng)[0]
        for position in fresh:
            values[position] = drawn[position]

    def sample_many(
        self, n: int, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False
    ) -> list[Architecture]:
        if budget is None:
            return [self._wrap(values) for values in self._draw_raw(n, rng)]
        if fill or budget.lower or n < _WORTH_A_BATCH:
            return super().sample_many(n, rng, budget, fill)
        fit = Fit(self, budget, rng)
        found: list[Architecture] = []
        while len(found) < n:
            found += [self._made(values) for values in sample_batch(self, min(n - len(found), _BATCH), fit)]
        return found

    def legal(self, decision: str, value: Any) -> bool:
        if decision in self._index and self._index[decision] in self._width_positions:
            return type(value) is int and 1 <= value <= _LARGEST_WIDTH
        options = self._all_choices[decision] + self._published.get(decision, ())
        return any(value == option and type(value) is type(option) for option in options)

    def blocks(self, architecture: Architecture, image_size: int | None = None) -> list[Block]:
        """The network's blocks with their operations, in order."""
        values, size = architecture.values_tuple, self._size(image_size)
        found = []
        names = self._names(values)
        for name, spec in zip(names, self._specs(values, architecture.in_channels, architecture.classes), strict=True):
            found.append(Block(name, *self._operations(spec, size)))
            size = self._known_tally(spec, size)[3]
        return found

    def cost(self, architecture: Architecture, image_size: int | None = None) -> Cost:
        values, channels, size = architecture.values_tuple, architecture.in_channels, self._size(image_size)
        specs = self._specs(values, channels, architecture.classes)
        tallies, at, known = [], size, self._tallies
        for spec in specs:
            tallies.append(found := known.get((spec, at)) or self._tally(spec, at))
            at = found[3]
        return network_cost(self._names(values), tallies, size, channels)

    def build(self, architecture: Architecture, image_size: int | None = None) -> nn.Module:
        from search_spaces.modules import Network

        return Network(self.blocks(architecture, image_size), architecture.in_channels)

    def _figures(self, values: Sequence[Any], image_size: int, in_channels: int, classes: int) -> Triple:
        return self._sum(self._sections(values, in_channels, classes), image_size, in_channels)

    def _figures_up_to(self, values: Values, key: tuple[int, int, int], count: int) -> Triple:
        """Figures of the first ``count`` blocks; ``key``: image size, channels, classes."""
        return self._sum(self._specs(values, *key[1:])[:count], *key[:2])

    def _sum(self, sections: Sequence[Section], image_size: int, in_channels: int) -> Triple:
        flops = parameters = 0
        size, tallies, peaks = image_size, self._tallies, []
        for section in sections:
            found = tallies.get((section, size)) or self._tally(section, size)
            flops += found[0]
            parameters += found[1]
            peaks.append(found[2])
            size = found[3]
        return flops, parameters, network_memory(peaks, image_size, in_channels)

    def _keeps(self, values: Sequence[Any], budget: Budget, image_size: int, in_channels: int, classes: int) -> bool:
        """As everywhere, but the first section that goes over a bound settles it."""
        flops, parameters, memory = (
            inf if bound is None else bound for bound in (budget.flops, budget.parameters, budget.memory)
        )
        elements = memory / BYTES - held_elements(image_size, in_channels, 0)
        size, tallies = image_size, self._tallies
        for section in self._sections(values, in_channels, classes):
            found = tallies.get((section, size)) or self._tally(section, size)
            flops -= found[0]
            parameters -= found[1]
            if flops < 0 or parameters < 0 or found[2] > elements:
                return False
            size, elements = found[3], memory / BYTES - held_elements(image_size, in_channels, 1)
        return True

    def _known_tally(self, section: Section, size: int) -> BlockTally:
        """The figures of a section whose input has ``size`` pixels a side."""
        return self._tallies.get((section, size)) or self._tally(section, size)

    def _tally(self, section: Section, size: int) -> BlockTally:
        if len(self._tallies) > _REMEMBERED:
            self._tallies.clear()
        specs = self._specs_of(section)
        found = self._block_tally(specs[0], size) if len(specs) == 1 else self._joint_tally(specs, size)
        self._tallies[section, size] = found
        return found

    def _block_tally(self, spec: Spec, size: int) -> BlockTally:
        kinds = tuple(map(type, spec))
        parts = self._parts.get(kinds)
        if parts is None:
            parts = self._parts[kinds] = parting(kinds)
        words, numbers = parts
        make = kinds, words(spec)
        count = self._makes.get(make)
        if count is None:
            count = self._makes[make] = block_formula(self._operations, split(spec)[0]).one
        found: BlockTally = count(*numbers(spec), size)  # type: ignore[assignment]  # its calculation's
        return found

    def _joint_tally(self, specs: Sequence[Spec], size: int) -> BlockTally:
        """The figures of blocks one after another: sums, the largest peak, and the size after the last."""
        flops = parameters = peak = others = 0
        for spec in specs:
            one = self._known_tally(spec, size)
            flops, parameters, peak, size, others = (
                flops + one[0],
                parameters + one[1],
                max(peak, one[2]),
                one[3],
                others + one[4],
            )
        return flops, parameters, peak, size, others


def near(options: Sequence[Any], target: float) -> Any:
    """The first choice that is no smaller than ``target``, else the last."""
    return options[min(bisect_left(options, target), len(options) - 1)]


class Ladders:
    """``near`` for several decisions at once, as places among the choices of each: their ladders of choices stand one above the other."""

    def __init__(self, ladders: Sequence[Sequence[int]]) -> None:
        lengths = np.array([len(ladder) for ladder in ladders])
        self._shift = 1e6 * np.arange(len(ladders))  # more than any width
        self._steps = np.concatenate([np.add(ladder, shift) for ladder, shift in zip(ladders, self._shift, strict=True)])
        self._first = np.cumsum(lengths) - lengths
        self._last = lengths - 1

    def places(self, targets: np.ndarray) -> np.ndarray:
        """int64 (n, decisions) for float64 (n, decisions)."""
        found: np.ndarray = np.minimum(self._steps.searchsorted(targets + self._shift) - self._first, self._last)
        return found
