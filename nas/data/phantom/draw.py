"""Random numbers that depend on (seed, image) alone, so that image 7 is the same among ten images or ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]  # float32: (n, 1, 1) parameters or (n, h, w) pixel fields
Flags = NDArray[Any]  # bool, (n, 1, 1)
_COLUMNS = 224  # uniforms drawn at once for each row; more are drawn when a program asks for more


def generators(seed: int, stream: int, ids: NDArray[np.int64]) -> list[np.random.Generator]:
    """One generator for each id of a stream; streams (patients, images, cues, …) never share numbers."""
    high = np.uint64(seed % 2**64)
    return [
        np.random.Generator(np.random.Philox(key=np.array([high, (np.uint64(stream) << np.uint64(48)) + np.uint64(i)])))
        for i in ids
    ]


class Draw:
    """A program over scalars, run for n rows at once: each call hands out one fresh random column, (n, 1, 1) float32."""

    def __init__(self, seed: int, stream: int, ids: NDArray[np.int64]) -> None:
        self._generators = generators(seed, stream, ids)
        self._columns = self._next_columns()

    def __len__(self) -> int:
        return len(self._generators)

    def _next_columns(self) -> Iterator[Field]:
        while True:
            block = np.empty((len(self._generators), _COLUMNS), np.float32)
            for row, generator in zip(block, self._generators, strict=True):
                generator.random(out=row, dtype=np.float32)
            for k in range(_COLUMNS):
                yield block[:, k, None, None]

    def uniform(self, low: float, high: float) -> Field:
        """Uniform in [low, high)."""
        return np.float32(low) + np.float32(high - low) * next(self._columns)

    def bell(self, mean: float, spread: float) -> Field:
        """Bell-shaped (mean of three uniforms) with standard deviation ``spread``, never beyond three of them."""
        total = next(self._columns) + next(self._columns) + next(self._columns)
        return np.float32(mean) + np.float32(2 * spread) * (total - np.float32(1.5))

    def chance(self, probability: float | Field) -> Flags:
        """True with the given probability."""
        return next(self._columns) < probability

    def sign(self) -> Field:
        """−1 or +1."""
        return np.where(next(self._columns) < 0.5, np.float32(-1), np.float32(1))

    def index(self, count: int) -> NDArray[np.int64]:
        """An integer below ``count``, (n, 1, 1)."""
        return np.minimum((next(self._columns) * count).astype(np.int64), count - 1)

    def white(self, height: int, width: int) -> Field:
        """Standard normal noise of each row's own, (n, height, width)."""
        noise = np.empty((len(self._generators), height, width), np.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            generator.standard_normal(out=row, dtype=np.float32)
        return noise

    def smooth(self, cells: int, size: int) -> Field:
        """Smooth noise (n, size, size), about standard normal: a ``cells`` × ``cells`` lattice, interpolated."""
        weights = _lattice(cells, size)
        return np.matmul(np.matmul(weights, self.white(cells + 3, cells + 3)), weights.T)


_LATTICES: dict[tuple[int, int], Field] = {}


def _lattice(cells: int, size: int) -> Field:
    """Cubic B-spline interpolation weights (size, cells + 3), scaled to keep unit variance on average."""
    if (cells, size) not in _LATTICES:
        position = (np.arange(size) + 0.5) / size * cells
        base = np.floor(position).astype(int)
        t = position - base
        taps = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
        weights = np.zeros((size, cells + 3))
        for k in range(4):
            weights[np.arange(size), base + k] = taps[:, k]
        _LATTICES[cells, size] = (weights / np.sqrt((taps**2).sum(1).mean())).astype(np.float32)
    return _LATTICES[cells, size]
