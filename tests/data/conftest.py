"""Tiny data sets on disk, made by the tests; no real image is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data_samples import picture, save, write_csv


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache."""
    monkeypatch.setenv("PEPX_NAS_CACHE", str(tmp_path_factory.mktemp("cache")))


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
