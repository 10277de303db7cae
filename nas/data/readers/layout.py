"""Small helpers that several readers share: finding folders whatever their case, and a data set below its wrapping folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from search_spaces.errors import InputError

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".ppm", ".jp2", ".dcm", ".dicom")
)


def subfolders(path: Path) -> list[Path]:
    """Visible folders of a folder, sorted; one that cannot be listed raises ``InputError``."""
    try:
        with os.scandir(path) as entries:  # knows folders without asking for each of 100,000 images
            return sorted(Path(entry.path) for entry in entries if not entry.name.startswith((".", "__")) and entry.is_dir())
    except OSError as error:
        _unlisted(error)


def entries(path: Path) -> list[Path]:
    """All that is in a folder, sorted; one that cannot be listed raises ``InputError``."""
    try:
        return sorted(path.iterdir())
    except OSError as error:
        _unlisted(error)


def walk(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """``os.walk`` that raises ``InputError`` at a folder that cannot be listed, instead of leaving it out in silence."""
    return os.walk(path, onerror=_unlisted)


def _unlisted(error: OSError) -> NoReturn:
    raise InputError(f"cannot list {error.filename}: {error.strerror or error}; check its permissions") from error


def by_name(path: Path) -> dict[str, Path]:
    """Folders of a folder under their lower-case names; empty when it is no folder."""
    return {folder.name.lower(): folder for folder in subfolders(path)} if path.is_dir() else {}


def descend(path: Path, fits: Callable[[Path], bool], depth: int = 2) -> Path | None:
    """The folder itself, or the first below it, that ``fits``: archives unpack into wrapping folders, sometimes doubled."""
    if not path.is_dir():
        return None
    if fits(path):
        return path
    if depth:
        for folder in subfolders(path):
            found = descend(folder, fits, depth - 1)
            if found is not None:
                return found
    return None


def required(path: Path, found: Path | None, layout: str) -> Path:
    """``found``, or ``InputError`` that states the layout."""
    if found is None:
        raise InputError(f"{path} is not laid out as expected; it must hold {layout}")
    return found


def files_by_name(folders: list[Path]) -> dict[str, Path]:
    """Images of the given folders (not below them) under their names."""
    return {
        entry.name: entry
        for folder in folders
        if folder.is_dir()
        for entry in entries(folder)
        if entry.suffix.lower() in IMAGE_SUFFIXES
    }
