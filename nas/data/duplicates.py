"""Images that are the same picture twice: by pixels, or nearly so by a perceptual hash; and the groups that follow.

The hash is a 256-bit difference hash (each of 16 × 16 cells compared with its right neighbour on a 17 × 16 thumbnail). Radiographs of
different people agree in many bits, so a moderate distance only makes a pair *suspect*: it counts when the two thumbnails also correlate
almost perfectly (a copy that was compressed, resized, or changed in brightness). At a very small distance a lower correlation is enough
(a copy with a marker pasted on). Mirrored copies are found alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_DISTANCE, MIN_CORRELATION = 32, 0.985  # of 256 bits; of 32 × 32 thumbnails
SURE_DISTANCE, SURE_CORRELATION = 10, 0.85
_THUMBNAIL = 32
_BLOCK = 2048
Pairs = list[tuple[int, int]]


def look(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Perceptual hash of one image (H, W): four 64-bit words."""
    small = np.asarray(Image.fromarray(image).resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    bits = small[:, 1:] > small[:, :-1]
    return np.packbits(bits.reshape(-1)).view("<u8").copy()


def near_duplicates(images: NDArray[np.uint8], looks: NDArray[np.uint64]) -> Pairs:
    """Pairs (i < j) of near-duplicates, mirrored ones too, among images (N, 1, H, W) with hashes (N, 4)."""
    bits = np.unpackbits(np.ascontiguousarray(looks).view(np.uint8), axis=1).astype(np.float32) * 2 - 1
    mirrored = -bits.reshape(-1, 16, 16)[:, :, ::-1].reshape(-1, 256)
    thumbnails: dict[int, NDArray[np.float32]] = {}

    def thumbnail(i: int) -> NDArray[np.float32]:
        if i not in thumbnails:
            thumbnails[i] = _thumbnail(images[i, 0])
        return thumbnails[i]

    found: set[tuple[int, int]] = set()
    for others, turn in ((bits, 1), (mirrored, -1)):
        for i, j, distance in _close_pairs(bits, others):
            correlation = float((thumbnail(i) * thumbnail(j)[:, ::turn]).sum())
            if correlation >= (SURE_CORRELATION if distance <= SURE_DISTANCE else MIN_CORRELATION):
                found.add((i, j))
    return sorted(found)


def _close_pairs(bits: NDArray[np.float32], others: NDArray[np.float32]) -> Iterator[tuple[int, int, int]]:
    """(i, j, distance) with i < j within ``MAX_DISTANCE``, through products of ±1 vectors (256 − 2 · distance), block by block."""
    for start in range(0, len(bits), _BLOCK):
        for other in range(start, len(bits), _BLOCK):
            products = bits[start : start + _BLOCK] @ others[other : other + _BLOCK].T
            rows, columns = np.nonzero(products >= 256 - 2 * MAX_DISTANCE)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if start + row < other + column:
                    yield start + row, other + column, round((256 - float(products[row, column])) / 2)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Zero-mean, unit-length thumbnail; a flat image is all zero (it correlates with nothing)."""
    small = Image.fromarray(image).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32)
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1e-3 else np.zeros_like(values)


def identical(hashes: Sequence[str] | NDArray) -> Pairs:
    """Pairs (first, later) of equal pixel hashes."""
    first: dict[str, int] = {}
    pairs: Pairs = []
    for i, value in enumerate(hashes):
        start = first.setdefault(str(value), i)
        if start != i:
            pairs.append((start, i))
    return pairs


class Clusters:
    """Union–find over image indices."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        """The smallest index of i's cluster."""
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Put i and j into one cluster."""
        a, b = sorted((self.find(i), self.find(j)))
        self._parent[b] = a

    def join_equal(self, keys: Iterable[object]) -> None:
        """Join all indices that share a key; ``None`` joins nothing."""
        first: dict[object, int] = {}
        for i, key in enumerate(keys):
            if key is not None:
                self.join(first.setdefault(key, i), i)

    def labels(self) -> NDArray[np.int64]:
        """The cluster of every index, named by its smallest member."""
        return np.array([self.find(i) for i in range(len(self._parent))], dtype=np.int64)
