"""Images that are the same picture twice: by pixels, or nearly so by a perceptual hash; and the groups that follow.

The hash is a 256-bit difference hash (each of 16 × 16 cells compared with its right neighbour on a 17 × 16 thumbnail). Radiographs of
different people agree in many bits, so a small distance only makes a pair *suspect*; it counts as a near-duplicate when the two
thumbnails also correlate almost perfectly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_DISTANCE = 24  # of 256 bits
MIN_CORRELATION = 0.99  # of 32 × 32 thumbnails
_THUMBNAIL = 32
_BLOCK = 2048
Pairs = list[tuple[int, int]]


def look(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Perceptual hash of one image (H, W): four 64-bit words."""
    small = np.asarray(Image.fromarray(image).resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    bits = small[:, 1:] > small[:, :-1]
    return np.packbits(bits.reshape(-1)).view("<u8").copy()


def near_duplicates(images: NDArray[np.uint8], looks: NDArray[np.uint64]) -> Pairs:
    """Pairs (i < j) of near-duplicates among images (N, 1, H, W) with hashes (N, 4)."""
    suspects = list(_close_pairs(looks))
    if not suspects:
        return []
    thumbnails = {i: _thumbnail(images[i, 0]) for i in sorted({i for pair in suspects for i in pair})}
    return [(i, j) for i, j in suspects if float(thumbnails[i] @ thumbnails[j]) >= MIN_CORRELATION]


def _close_pairs(looks: NDArray[np.uint64]) -> Iterable[tuple[int, int]]:
    """All pairs within ``MAX_DISTANCE``, through products of ±1 vectors (256 − 2 · distance), block by block."""
    bits = np.unpackbits(np.ascontiguousarray(looks).view(np.uint8), axis=1).astype(np.float32) * 2 - 1
    limit = bits.shape[1] - 2 * MAX_DISTANCE
    for start in range(0, len(bits), _BLOCK):
        for other in range(start, len(bits), _BLOCK):
            rows, columns = np.nonzero(bits[start : start + _BLOCK] @ bits[other : other + _BLOCK].T >= limit)
            for i, j in zip((rows + start).tolist(), (columns + other).tolist(), strict=True):
                if i < j:
                    yield i, j


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Zero-mean, unit-length thumbnail, flattened; a flat image is all zero (it correlates with nothing)."""
    small = Image.fromarray(image).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32).reshape(-1)
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
