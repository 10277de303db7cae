"""CSV files as rows of clean text, with limits and errors that name the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from nas.data.listing import clean
from search_spaces.errors import InputError

MAX_BYTES = 1 << 30
MAX_ROWS = 5_000_000
_DELIMITERS = ",;\t|"


def read_csv(path: Path, *, unique: bool = True) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Header (lower case) and an iterator over (line number, row); cells are stripped of control characters.

    Args:
        path: a text file in UTF-8 (other bytes are replaced), delimited by comma, semicolon, tab or bar.
        unique: refuse a column name that stands twice (empty names may).

    Raises:
        InputError: the file is missing, too large, empty, or not CSV.
    """
    try:
        if not path.is_file():
            raise InputError(f"no file {path}; check the path")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}; it is no table of images")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            first = file.readline(1 << 20)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {clean(path)} ({error}); check the path") from error
    delimiter = max(_DELIMITERS, key=first.count)
    header = [clean(name).lower() for name in next(iter(csv.reader([first], delimiter=delimiter)), [])]
    if not any(header):
        raise InputError(f"{path} is empty; its first line must name the columns")
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if unique and doubled:
        raise InputError(f"{path} names the column {doubled[0]!r} twice; rename one")
    return header, _rows(path, header, delimiter)


def _rows(path: Path, header: list[str], delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader, None)
            for count, cells in enumerate(reader):
                if not any(cells):
                    continue
                if count >= MAX_ROWS:
                    raise InputError(f"{path} has more than {MAX_ROWS} rows; split it")
                if any(cells[len(header) :]):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns; quote cells that hold {delimiter!r}"
                    )
                cells += [""] * (len(header) - len(cells))
                yield reader.line_num, dict(zip(header, map(clean, cells), strict=False))
    except csv.Error as error:
        raise InputError(f"{path}: not readable as CSV ({error}); save it again as plain CSV") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error
