"""The run directory: where every file of a run lies, one owner at a time, and a check of all of them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.files import read_json, sha256, write_json
from nas.records import SearchRecord
from search_spaces.errors import InputError, ToolkitError


class RunDirectory:
    """Paths of one run.

    ``settings.json``, ``journal.log``, ``parts.json``, ``data.json``, ``trials/KEY/``, ``candidates/KEY/seedN/``,
    ``audits/…``, ``log/``, ``run.json``, ``index.html``, ``openings.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.parts = path / "parts.json"
        self.data = path / "data.json"
        self.record = path / "run.json"
        self.log = path / "log"
        self.generator = path / "generator.json"

    def trial(self, key: str) -> Path:
        """Where the trial of this architecture keeps its weights and metrics."""
        return self.path / "trials" / key

    def candidate(self, key: str) -> Path:
        """Where a member of the front lies, retrained and audited."""
        return self.path / "candidates" / key

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the run's lock: two searches in one directory would mix their studies.

        Raises:
            InputError: another process holds it.
            ToolkitError: the directory cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise ToolkitError(f"cannot write to {self.path}: {error.strerror}; choose another --out") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(f"another process is running in {self.path}; wait for it, or choose another --out") from error
        try:
            yield
        finally:
            os.close(descriptor)


def read_search(path: Path) -> SearchRecord:
    """The finished record of a search; a directory without one raises ``InputError`` that says how to get it."""
    record = RunDirectory(path).record
    if not record.exists():
        raise InputError(f"{path} holds no finished search (no run.json); finish it with: nas search --resume --out {path}")
    return SearchRecord.model_validate_json(json.dumps(read_json(record)))


def seal(directory: Path) -> None:
    """Write ``checksums.json``: the SHA-256 of every file in ``directory`` (written last: a sealed directory is complete)."""
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "checksums.json" and not p.name.startswith("."))
    write_json(directory / "checksums.json", {str(p.relative_to(directory)): sha256(p) for p in files})


def damaged_files(directory: Path) -> list[str]:
    """Files below ``directory`` that differ from what a ``checksums.json`` beside or above them recorded, or are gone."""
    damaged: list[str] = []
    for manifest in sorted(directory.rglob("checksums.json")):
        try:
            recorded = read_json(manifest)
        except InputError as error:
            damaged.append(f"{manifest}: {error}")
            continue
        for name, digest in recorded.items():
            file = manifest.parent / name
            if not file.is_file():
                damaged.append(f"{file}: missing")
            elif sha256(file) != digest:
                damaged.append(f"{file}: content differs from its checksum")
    return damaged


def is_sealed(directory: Path) -> bool:
    """Whether ``directory`` was sealed and every file still matches."""
    return (directory / "checksums.json").is_file() and not damaged_files(directory)
