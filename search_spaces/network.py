"""Costs of a whole network, summed over its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from search_spaces.cost import BlockCost, Cost
from search_spaces.formulas import Formula, formula
from search_spaces.operations import Operations, Shape, block_tally

BYTES = 4  # of a float32
Spec = tuple[Any, ...]  # a block's make (words, True and False) and its numbers, the second of which is its input channels
BlockOperations = Callable[[Spec, Any], tuple[Operations, Operations | None]]
Parting = tuple[Callable[[Spec], tuple[Any, ...]], Callable[[Spec], tuple[Any, ...]]]
BlockTally = tuple[int, int, int, int, int]  # FLOPs, parameters, peak elements, side of the output, other operations


def split(spec: Spec) -> tuple[Spec, list[int]]:
    """A spec taken apart: its make, with ``int`` where a number stood, and the numbers."""
    return tuple([int if type(item) is int else item for item in spec]), [item for item in spec if type(item) is int]


def parting(kinds: Sequence[type]) -> Parting:
    """How specs whose items are of these types come apart: what takes their words from them, and what takes their numbers."""
    places = [[place for place, kind in enumerate(kinds) if (kind is int) is number] for number in (False, True)]
    words, numbers = (_taker(chosen) for chosen in places)
    return words, numbers


def _taker(places: Sequence[int]) -> Callable[[Spec], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda spec: tuple(spec[place] for place in places)


@lru_cache(maxsize=10_000)
def block_formula(operations: BlockOperations, make: Spec) -> Formula:
    """Blocks of one make: their numbers, then the pixels a side of the input → their ``BlockTally``."""

    def calculation(*numbers: Any) -> BlockTally:
        *remaining, size = numbers
        spec = tuple(remaining.pop(0) if item is int else item for item in make)
        branch, shortcut = operations(spec, size)
        found = block_tally(branch, shortcut, Shape(spec[1], size))
        return found.flops, found.parameters, found.peak, found.shape.size, found.other

    return formula(calculation, make.count(int) + 1)


def held_elements(image_size: int, in_channels: int, place: int) -> int:
    """Elements alive beside those of the block at ``place``: the grey image, which the caller holds throughout.

    With one channel the image is the first block's input already; with more it was replicated before.
    """
    return image_size**2 if place or in_channels > 1 else 0


def network_memory(peaks: Sequence[int], image_size: int, in_channels: int) -> int:
    """Bytes alive at the peak of a forward pass, from the blocks' own peaks in elements."""
    first = peaks[0] + held_elements(image_size, in_channels, 0)
    return BYTES * max(first, max(peaks[1:], default=0) + image_size**2)


@lru_cache(maxsize=10_000)
def block_names(depths: tuple[int, ...]) -> tuple[str, ...]:
    """The names of a network's modules: a stem, stages of so many blocks, a head."""
    blocks = (f"stage{stage}.block{block}" for stage, depth in enumerate(depths, 1) for block in range(1, depth + 1))
    return ("stem", *blocks, "head")


def network_cost(names: Sequence[str], tallies: Sequence[BlockTally], image_size: int, in_channels: int) -> Cost:
    """The cost of named blocks run one after another on an image of ``image_size`` pixels a side."""
    flops, parameters, peaks, _, others = zip(*tallies, strict=True)
    held = held_elements(image_size, in_channels, 1)
    memory = [BYTES * (peak + held) for peak in peaks]
    memory[0] = BYTES * (peaks[0] + held_elements(image_size, in_channels, 0))
    blocks = tuple(map(BlockCost._make, zip(names, flops, parameters, memory, others, strict=True)))
    return Cost(sum(flops), sum(parameters), max(memory), image_size, in_channels, blocks, sum(others))
