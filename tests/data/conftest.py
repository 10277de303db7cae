"""Tiny data sets on disk, made by the tests; no real image is needed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache."""
    monkeypatch.setenv("PEPX_NAS_CACHE", str(tmp_path_factory.mktemp("cache")))


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


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """``table(n, **columns)``: n images of two classes in a CSV; columns are functions of the index."""

    def make(n: int = 24, **columns: Callable[[int], object]) -> Path:
        rows = []
        for i in range(n):
            save(tmp_path / "images" / f"{i:03}.png", picture(i))
            row: dict[str, object] = {"file": f"images/{i:03}.png", "label": ("normal", "covid")[i % 2]}
            rows.append(row | {name: column(i) for name, column in columns.items()})
        return write_csv(tmp_path / "table.csv", rows)

    return make
