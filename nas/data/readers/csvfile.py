"""CSV files as rows of clean text, with limits and errors that name the line."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TextIO

from nas.data.listing import clean
from search_spaces.errors import InputError

MAX_BYTES = 1 << 30
MAX_LINE = 1 << 20
MAX_ROWS = 5_000_000
_DELIMITERS = ",;\t|"
_TOLD = re.compile(rf'"?sep=([{_DELIMITERS}])"?\s*', re.IGNORECASE)  # how a first line tells Excel the delimiter
MISSING = {"nan", "NaN", "NAN", "NA", "<NA>", "N/A", "n/a", "#N/A", "null", "NULL"}  # how programs write an empty cell
_WINDOWS = "pepx_nas.windows_1252"


def _windows(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 are what Excel's plain "CSV" writes: replaced by one sign, Müller and Möller would be one patient."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error(_WINDOWS, _windows)


def read_csv(
    path: Path, *, unique: bool = True, paths: Collection[str] = ()
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Header (lower case) and an iterator over (line number, row); cells are stripped of control characters, ``nan`` is empty.

    Args:
        path: a text file in UTF-8, Windows-1252, or UTF-16 with its mark; delimited by comma, semicolon, tab or bar, which a first
            line ``sep=;`` may name.
        unique: refuse a column name that stands twice (empty names may).
        paths: columns of file names, which are only trimmed: on disk a name may hold any character. Clean them to print them.

    Raises:
        InputError: the file is missing, too large, empty, or not CSV.
    """
    try:
        if not path.is_file():
            raise InputError(f"no file {path}; check the path")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}; it is no table of images")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {clean(path)} ({error}); check the path") from error
    records = _records(path)
    header = [clean(name).lower() for name in next(records, (0, []))[1]]
    if not any(header):
        raise InputError(f"{path} is empty; its first line must name the columns")
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if unique and doubled:
        raise InputError(f"{path} names the column {doubled[0]!r} twice; rename one")
    return header, _rows(path, header, records, paths)


def _rows(
    path: Path, header: list[str], records: Iterator[tuple[int, list[str]]], paths: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    readings = [str.strip if name in paths else clean for name in header]
    for count, (line, cells) in enumerate(records):
        if not any(cells):
            continue
        if count >= MAX_ROWS:
            raise InputError(f"{path} has more than {MAX_ROWS} rows; split it")
        if any(cells[len(header) :]):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells under {len(header)} columns; quote cells that hold the delimiter"
            )
        cells += [""] * (len(header) - len(cells))
        texts = [read(cell) for read, cell in zip(readings, cells, strict=False)]
        yield line, dict(zip(header, ["" if text in MISSING else text for text in texts], strict=True))


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(its first line, cells) of every record, the header's included.

    A record in one line is read however it is quoted; one of several lines must be quoted by the rules, since a stray quote makes one
    record of all rows down to the next quote, or to the end.
    """
    line = 1
    taken: list[str] = []
    try:
        with path.open(encoding=_encoding(path), errors=_WINDOWS, newline="") as file:
            first = file.readline(MAX_LINE)
            told = _TOLD.fullmatch(first)
            if told:
                line = 2
            else:
                file.seek(0)
            delimiter = told[1] if told else max(_DELIMITERS, key=first.count)
            for cells in csv.reader(_lines(file, taken), delimiter=delimiter):
                if len(taken) > 1:
                    next(csv.reader(taken, delimiter=delimiter, strict=True))
                yield line, cells
                line += len(taken)
                taken.clear()
    except csv.Error as error:
        raise InputError(
            f"{path}, line {line}: not readable as CSV ({error}); close every quote that opens a cell, or save it again as plain CSV"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _lines(file: TextIO, taken: list[str]) -> Iterator[str]:
    """The lines of a file, each noted in ``taken``, the end as an empty one."""
    while True:
        taken.append(file.readline(MAX_LINE))
        if not taken[-1]:
            return
        if len(taken[-1]) == MAX_LINE:
            raise csv.Error(f"a line of more than {MAX_LINE} characters")
        yield taken[-1]


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
