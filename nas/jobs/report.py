"""Rewrite the page of a run, an audit or a benchmark from its record, or check every file of it."""

from __future__ import annotations

from pathlib import Path

from nas.engine.directory import damaged_files, moved_to, renew_sum
from nas.engine.directory import read_record as read_one
from nas.records import AuditRecord, BenchmarkRecord, SearchRecord
from search_spaces.errors import InputError

_RECORDS: dict[str, type[SearchRecord] | type[AuditRecord] | type[BenchmarkRecord]] = {
    "run.json": SearchRecord,
    "audit.json": AuditRecord,
    "benchmark.json": BenchmarkRecord,
}


def read_record(directory: Path) -> SearchRecord | AuditRecord | BenchmarkRecord:
    """The finished record in a directory; none raises ``InputError`` that says what was looked for."""
    for name, kind in _RECORDS.items():
        if (directory / name).exists():
            record = read_one(kind, directory / name)
            return moved_to(record, directory) if isinstance(record, SearchRecord) else record
    raise InputError(f"{directory} holds no finished record ({', '.join(_RECORDS)}); finish the job there with --resume")


def rewrite(directory: Path) -> Path:
    """Write the page anew; returns its path."""
    from nas.engine.context import import_plugins_of
    from nas.report import write_page

    import_plugins_of(directory)
    page = write_page(read_record(directory), directory)
    renew_sum(page)
    return page


def verify(directory: Path) -> list[str]:
    """The damaged or missing files of a directory, each with what is wrong; empty when all is well.

    Raises:
        InputError: there is nothing to verify.
    """
    if not any(directory.rglob("checksums.json")):
        raise InputError(f"{directory} has no checksums to verify; give the directory of a finished search, audit or benchmark")
    return damaged_files(directory)
