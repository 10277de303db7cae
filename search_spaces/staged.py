"""What the simpler spaces share: a stem, stages of blocks that all have the same decisions, a head; every cost is monotone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from search_spaces.network import block_names
from search_spaces.networked import Ladders, NetworkSpace
from search_spaces.space import Values


class StagedSpace(NetworkSpace):
    """Stages with a depth, a width and further decisions of their own; each block with the decisions ``block``.

    A space declares these and says in ``_specs`` which blocks its decisions come to, and in ``_operations`` what a block is.

    Attributes:
        top: decisions outside the stages.
        depths, widths: each stage's largest depth, and its choices of width.
        stage: further decisions of each stage.
        block: decisions of each block.
    """

    top: ClassVar[Mapping[str, Sequence[Any]]]
    depths: ClassVar[Sequence[int]]
    widths: ClassVar[Sequence[Sequence[int]]]
    stage: ClassVar[Mapping[str, Sequence[Any]]] = {}
    block: ClassVar[Mapping[str, Sequence[Any]]]

    def __init__(
        self,
        classes: int = 3,
        in_channels: int = 1,
        image_size: int | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        top, widths, stage, block = self.top, self.widths, self.stage, self.block
        decisions: dict[str, Sequence[Any]] = dict(top)
        for number, depth in enumerate(self.depths, 1):
            decisions[f"stage{number}.depth"] = tuple(range(1, depth + 1))
            decisions[f"stage{number}.width"] = widths[number - 1]
            decisions |= {f"stage{number}.{name}": options for name, options in stage.items()}
            for place in range(1, depth + 1):
                decisions |= {f"stage{number}.block{place}.{name}": options for name, options in block.items()}
        super().__init__(decisions, classes=classes, in_channels=in_channels, image_size=image_size, choices=choices)
        self._block_size = len(block)
        numbers = range(1, len(self.depths) + 1)
        self._always = [self._index[name] for name in top]
        self._depth = [self._index[f"stage{number}.depth"] for number in numbers]
        self._width = [self._index[f"stage{number}.width"] for number in numbers]
        self._ladders = Ladders([self._choices[position] for position in self._width])
        self._extra = [[self._index[f"stage{number}.{name}"] for name in stage] for number in numbers]
        first = next(iter(block))
        self._blocks = [
            [self._index[f"stage{number}.block{place}.{first}"] for place in range(1, depth + 1)]
            for number, depth in enumerate(self.depths, 1)
        ]

    def _at(self, name: str) -> int:
        return self._index[name]

    def _alive(self, values: Sequence[Any], stage: int) -> list[int]:
        """Where the decisions of the stage's built blocks begin."""
        return self._blocks[stage][: values[self._depth[stage]]]

    def _width_names(self) -> Iterator[str]:
        return (name for name in self.names if name.endswith(".width"))

    def _active(self, values: Values) -> list[int]:
        return self._always + self._stages_active(values)

    def _stages_active(self, values: Values) -> list[int]:
        found: list[int] = []
        for stage, extra in enumerate(self._extra):
            found += [self._depth[stage], self._width[stage], *extra]
            for first in self._alive(values, stage):
                found += range(first, first + self._block_size)
        return found

    def _canonical(self, values: Values) -> Values:
        for stage, blocks in enumerate(self._blocks):
            depth = values[self._depth[stage]]
            if depth < len(blocks):
                start, stop = blocks[depth], blocks[-1] + self._block_size
                values[start:stop] = self._off[start:stop]
        return values

    def _names(self, values: Sequence[Any]) -> Sequence[str]:
        return block_names(tuple([values[position] for position in self._depth]))

    def _cheapest(self) -> dict[int, Any]:
        return {position: options[0] for position, options in enumerate(self._choices)}

    def _draw_places(self, n: int, rng: np.random.Generator, reach: float) -> np.ndarray:
        places = self._uniform_places(n, rng, reach)
        growth = np.exp2([rng.uniform(3, 6, n), *(rng.uniform(0, 1.3, n) for _ in self._width)])[:-1]
        levels = np.cumprod(growth, axis=0).T  # stage widths grow with depth
        places[:, self._width] = self._ladders.places(levels)
        return places
