"""Costs of a whole network, summed over its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.cost import BlockCost, Cost

BYTES = 4  # of a float32
BlockTally = tuple[int, int, int, int, int]  # FLOPs, parameters, peak elements, side of the output, other operations


def held_elements(image_size: int, in_channels: int, place: int) -> int:
    """Elements alive beside those of the block at ``place``: the grey image, which the caller holds throughout.

    With one channel the image is the first block's input already; with three it was replicated before.
    """
    return image_size**2 if place or in_channels == 3 else 0


def network_memory(peaks: Sequence[int], image_size: int, in_channels: int) -> int:
    """Bytes alive at the peak of a forward pass, from the blocks' own peaks in elements."""
    first = peaks[0] + held_elements(image_size, in_channels, 0)
    return BYTES * max(first, max(peaks[1:], default=0) + image_size**2)


def network_cost(names: Sequence[str], tallies: Sequence[BlockTally], image_size: int, in_channels: int) -> Cost:
    """The cost of named blocks run one after another on an image of ``image_size`` pixels a side."""
    costs = tuple(
        [
            BlockCost(name, flops, parameters, BYTES * (peak + held_elements(image_size, in_channels, place)), other)
            for place, (name, (flops, parameters, peak, _, other)) in enumerate(zip(names, tallies, strict=True))
        ]
    )
    return Cost(
        flops=sum([cost.flops for cost in costs]),
        parameters=sum([cost.parameters for cost in costs]),
        memory=max([cost.memory for cost in costs]),
        image_size=image_size,
        in_channels=in_channels,
        blocks=costs,
        other_operations=sum([cost.other_operations for cost in costs]),
    )
