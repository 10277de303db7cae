"""What a network costs, as plain numbers: counted from the architecture alone, no module is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Figures(Protocol):
    """Anything with the three figures that a budget can bound."""

    @property
    def flops(self) -> float: ...

    @property
    def parameters(self) -> float: ...

    @property
    def memory(self) -> float: ...


class BlockCost(NamedTuple):
    """The figures of one named block.

    Attributes:
        name: the module's name in the built network, for example ``"stage2.block1"``.
        flops: multiply–accumulates of convolutions and linear layers for one image.
        parameters: trainable parameters.
        memory: bytes of activations alive at this block's peak, float32, one image.
        other_operations: one per output element of each normalisation, activation, pooling and addition.
    """

    name: str
    flops: int
    parameters: int
    memory: int
    other_operations: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The figures of a whole network for one image of ``image_size`` pixels a side; ``blocks`` add up to them (memory: the maximum).

    A space without networks gives floats, and 0 for what it does not know.
    """

    flops: int
    parameters: int
    memory: int
    image_size: int
    in_channels: int
    blocks: tuple[BlockCost, ...] = ()
    other_operations: int = 0

    def record(self) -> dict[str, Any]:
        """Plain data for ``nas.records.CostRecord``."""
        return {
            "flops": self.flops,
            "parameters": self.parameters,
            "memory": self.memory,
            "image_size": self.image_size,
            "in_channels": self.in_channels,
            "other_operations": self.other_operations,
        }

    def to_json(self) -> dict[str, Any]:
        """``record`` with the blocks."""
        return {**self.record(), "blocks": [block._asdict() for block in self.blocks]}
