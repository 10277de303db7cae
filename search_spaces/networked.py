"""What spaces of real networks share: blocks described once, from which the fast figures, the cost and the module follow."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.architecture import Architecture
from search_spaces.cost import Cost
from search_spaces.errors import InputError
from search_spaces.fitted import FittedSpace
from search_spaces.network import network_cost, network_memory
from search_spaces.operations import Block, Operations, Shape, block_tally
from search_spaces.space import Triple, Values

if TYPE_CHECKING:
    from torch import nn

Spec = tuple[Any, ...]  # a block's kind and sizes, small enough to look up its cost by
IMAGE_SIZE = 96
_LARGEST_WIDTH = 16_384
_REMEMBERED = 200_000  # blocks' figures kept; then the memory starts afresh


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
        self._uniform_positions = [at for at in range(len(self.names)) if at not in self._width_positions]
        self._tallies: dict[tuple[Spec, int], tuple[int, int, int, int]] = {}

    @abstractmethod
    def _specs(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Spec]:
        """The network's blocks in order; a spec's second item is the block's input channels."""

    @abstractmethod
    def _names(self, values: Sequence[Any]) -> list[str]:
        """The blocks' names, in the same order."""

    @staticmethod
    @abstractmethod
    def _operations(spec: Spec, size: int) -> tuple[Operations, Operations | None]:
        """The operations of a block whose input has ``size`` pixels a side, and of its shortcut."""

    @abstractmethod
    def _width_names(self) -> Iterator[str]:
        """The decisions that are widths."""

    @property
    def _widths(self) -> frozenset[int]:
        return self._width_positions

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
            branch, shortcut = self._operations(spec, size)
            found.append(Block(name, branch, shortcut))
            size = block_tally(branch, shortcut, Shape(spec[1], size)).shape.size
        return found

    def cost(self, architecture: Architecture, image_size: int | None = None) -> Cost:
        size = self._size(image_size)
        return network_cost(self.blocks(architecture, size), size, architecture.in_channels)

    def build(self, architecture: Architecture, image_size: int | None = None) -> nn.Module:
        from search_spaces.modules import Network

        return Network(self.blocks(architecture, image_size), architecture.in_channels)

    def _figures(self, values: Sequence[Any], image_size: int, in_channels: int, classes: int) -> Triple:
        return self._sum(self._specs(values, in_channels, classes), image_size, in_channels)

    def _figures_up_to(self, values: Values, key: tuple[int, int, int], count: int) -> Triple:
        """Figures of the first ``count`` blocks; ``key``: image size, channels, classes."""
        return self._sum(self._specs(values, *key[1:])[:count], *key[:2])

    def _sum(self, specs: Sequence[Spec], image_size: int, in_channels: int) -> Triple:
        flops = parameters = 0
        size, tallies, peaks = image_size, self._tallies, []
        for spec in specs:
            found = tallies.get((spec, size))
            if found is None:
                found = self._tally(spec, size)
            flops += found[0]
            parameters += found[1]
            peaks.append(found[2])
            size = found[3]
        return flops, parameters, network_memory(peaks, image_size, in_channels)

    def _tally(self, spec: Spec, size: int) -> tuple[int, int, int, int]:
        branch, shortcut = self._operations(spec, size)
        found = block_tally(branch, shortcut, Shape(spec[1], size))
        if len(self._tallies) > _REMEMBERED:
            self._tallies.clear()
        self._tallies[spec, size] = short = (found.flops, found.parameters, found.peak, found.shape.size)
        return short


def near(options: Sequence[Any], target: float) -> Any:
    """The first choice that is no smaller than ``target``, else the last."""
    return options[min(bisect_left(options, target), len(options) - 1)]
