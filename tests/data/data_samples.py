"""Pictures, masks and tables that the tests write."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 48)) -> np.ndarray:
    """A smooth random grey picture, uint8 (height, width): two seeds never look alike."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8))
    return np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC))


def save(path: Path, array: np.ndarray) -> Path:
    """Write an array as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def lung(size: tuple[int, int] = (40, 48)) -> np.ndarray:
    """A mask, uint8 0 or 255, over the middle half."""
    mask = np.zeros(size, dtype=np.uint8)
    mask[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4] = 255
    return mask


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as CSV with the union of their columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
