"""``table:FILE.csv``: one row an image.

Columns ``file`` and ``label``; optionally ``mask``, ``patient``, ``group``, ``source``, ``view``, ``split`` and ``photometric``
(``MONOCHROME1`` marks an inverted image), ``native_width`` and ``native_height`` (of the original, where the file is a resized copy);
all others are kept as metadata. A patient is one person in all sources of the table. Relative paths start from the CSV's folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nas.data.listing import Listing, Row, clean, normal_form, resolve, split_name
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
from search_spaces.errors import InputError

_ALIASES = {
    "file": ("file", "path", "filename", "file_name", "image", "image_path", "filepath"),
    "label": ("label", "class", "diagnosis", "target"),
    "mask": ("mask", "lung_mask", "mask_path"),
    "patient": ("patient", "patient_id", "patientid"),
}
_OPTIONAL = ("mask", "patient", "group", "source", "view", "split", "photometric")
_UNKNOWN = {"unknown", "nan", "na", "n/a", "none", "null", "-", "?"}  # in an optional column as good as an empty cell


def recognise(path: Path) -> str:
    """A CSV file, or a folder whose metadata.csv has the two columns."""
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        return f"a table of images ({clean(path.name)})"
    return "a table of images (metadata.csv)" if path.is_dir() and has_columns(path / "metadata.csv") else ""


def has_columns(path: Path) -> bool:
    """Whether a file is a CSV with a column of files and one of labels."""
    try:
        return bool(_columns(path, read_csv(path)[0]))
    except InputError:
        return False


@register_reader("table", "a CSV with columns file, label and optionally mask, patient, group, source, view, split", recognise)
def read(path: Path) -> Listing:
    """Rows of the CSV (a folder is searched for its metadata.csv)."""
    path = path / "metadata.csv" if path.is_dir() else path
    return listed(path, path.stem)


def listed(path: Path, source: str) -> Listing:
    """Rows of the CSV; ``source`` where it names none."""
    columns, rows = _opened(path)
    listing = Listing([])
    for line, cells in rows:
        row = _row(path, line, cells, columns, source)
        if row is None:
            listing.skipped["row without file or label"] += 1
        else:
            listing.rows.append(row)
    if not listing.rows:
        raise InputError(f"{path} lists no image; add rows below its header")
    listing.notes.extend(_doubled(listing))
    return listing


def first_files(path: Path, count: int) -> list[Path]:
    """The files of the first rows of a CSV; none where it is no table of images."""
    try:
        columns, rows = _opened(path)
        return [path.parent / cells[columns["file"]] for _, cells in islice(rows, count)]
    except InputError:
        return []


def _opened(path: Path) -> tuple[dict[str, str], Iterator[tuple[int, dict[str, str]]]]:
    """Our name → the CSV's column, and its rows."""
    columns = _columns(path, read_csv(path)[0])
    return columns, read_csv(path, paths=[columns[name] for name in ("file", "mask") if name in columns])[1]


def _columns(path: Path, header: list[str]) -> dict[str, str]:
    """Our name → the CSV's column, in which blanks and hyphens are as good as ``_`` ("Patient ID")."""
    spelled = {re.sub(r"[ -]", "_", column): column for column in reversed(header)}
    found = {}
    for name in ("file", "label", *_OPTIONAL):
        alias = next((alias for alias in _ALIASES.get(name, (name,)) if alias in spelled), None)
        if alias is not None:
            found[name] = spelled[alias]
    for name in ("file", "label"):
        if name not in found:
            raise InputError(f"{path} has no column {name!r}; its columns: {', '.join(filter(None, header))[:200]}")
    return found


def _row(path: Path, line: int, cells: dict[str, str], columns: dict[str, str], source: str) -> Row | None:
    def cell(name: str) -> str:
        text = cells[columns[name]] if name in columns else ""
        return "" if name in _OPTIONAL and text.casefold() in _UNKNOWN else text

    if not cell("file") or not cell("label"):
        return None
    image = resolve(path.parent, cell("file"), free=True)
    mask = resolve(path.parent, cell("mask"), free=True) if cell("mask") else None
    assert image is not None
    return Row(
        image=image,
        label=cell("label"),
        mask=mask,
        patient=cell("patient"),
        group=cell("group"),
        source=cell("source") or source,
        view=cell("view"),
        split=split_name(cell("split"), f"{path}, line {line}"),
        invert=normal_form(cell("photometric")) == "monochrome1",
        file=clean(cell("file")),
        native_size=_size(cells.get("native_height", ""), cells.get("native_width", "")),
        metadata={name: text for name, text in cells.items() if name and name not in columns.values()},
    )


def _size(height: str, width: str) -> tuple[int, int] | None:
    """Two positive whole numbers, perhaps written as ``2048.0``, or None."""
    sides = [text.removesuffix(".0") for text in (height, width)]
    if all(side.isascii() and side.isdigit() and len(side) < 7 and int(side) for side in sides):
        return int(sides[0]), int(sides[1])
    return None


def _doubled(listing: Listing) -> list[str]:
    counts = Counter(row.image for row in listing.rows)
    twice = list(dict.fromkeys(row.file for row in listing.rows if counts[row.image] > 1))
    return [f"{len(twice)} files are listed more than once, for example {twice[0]}"] if twice else []
