"""The run directory: where every file of a run lies, one owner at a time, and a check of all of them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from nas.engine.settings import SearchSettings, explain, parse_settings
from nas.files import make_folder, read_json, sha256, understanding, write_json
from nas.records import CandidateRecord, Record, SearchRecord
from search_spaces.errors import InputError, ToolkitError

Kind = TypeVar("Kind", bound=Record)
_SUMS = "checksums.json"
_OWN = (
    "settings.json",
    "parts.json",
    "data.json",
    "identity.json",
    "commands.json",
    "generator.json",
    "run.json",
    "trials.csv",
    "front.*",
    "index.html",
    "*/*/checksums.json",  # of its trials and candidates: none may be missing
)  # what a finished run vouches for; patterns
_GROWS = ("openings.json",)


class RunDirectory:
    """Paths of one run.

    ``settings.json``, ``identity.json``, ``commands.json``, ``journal.log``, ``parts.json``, ``data.json``, ``trials/KEY/``,
    ``candidates/KEY/seedN/``, ``audits/…``, ``log/``, ``run.json``, ``checksums.json``, ``index.html``, ``openings.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.parts = path / "parts.json"
        self.data = path / "data.json"
        self.commands = path / "commands.json"
        self.record = path / "run.json"
        self.log = path / "log"
        self.generator = path / "generator.json"

    def stored_settings(self) -> SearchSettings:
        """What the search was started with."""
        return parse_settings(read_json(self.settings))

    def trial(self, key: str) -> Path:
        """Where the trial of this architecture keeps its weights and metrics."""
        return self.path / "trials" / key

    def candidate(self, key: str) -> Path:
        """Where a member of the front lies, retrained and audited."""
        return self.path / "candidates" / key

    def identity(self) -> str:
        """What tells this run from every other, also where the directory is mounted under another path; made once."""
        path = self.path / "identity.json"
        if not path.exists():
            write_json(path, {"run": uuid.uuid4().hex})
        with understanding(path):
            return str(read_json(path)["run"])

    def remember(self, command: str) -> list[str]:
        """The commands that this run was started and gone on with, each once, the first one first."""
        with understanding(self.commands):
            commands = [str(known) for known in read_json(self.commands)] if self.commands.exists() else []
        if command not in commands:
            commands.append(command)
            write_json(self.commands, commands)
        return commands

    def seal(self) -> None:
        """Write down the checksums of a finished run's records, and of those that its trials and candidates have."""
        vouch_for(self.path, _OWN)

    def unseal(self) -> None:
        """A run that goes on changes its records: they are no longer vouched for."""
        (self.path / _SUMS).unlink(missing_ok=True)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the run's lock: two searches in one directory would mix their studies.

        What is refused before it has settings leaves nothing behind where there was no directory before.

        Raises:
            InputError: another process holds it, or a file stands in its place.
            ToolkitError: the directory cannot be made or written.
        """
        fresh = not self.path.exists()
        make_folder(self.path)
        try:
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
        except InputError:
            if fresh and not any(self.path.glob("*settings.json")):  # a search's, or a benchmark's
                shutil.rmtree(self.path, ignore_errors=True)
            raise
        finally:
            os.close(descriptor)


def run_of(path: str | Path) -> Path | None:
    """The run directory that ``path`` is, or lies in."""
    path = Path(path)
    return next((p for p in (path, *path.absolute().parents) if RunDirectory(p).settings.is_file()), None)


def read_record(kind: type[Kind], path: Path) -> Kind:
    """A record from its file; one that is damaged or of another version raises ``InputError`` that names the file."""
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path} is damaged or of another version: {explain(error, 'key')}; restore it") from error


def read_search(path: Path) -> SearchRecord:
    """The finished record of a search; a directory without one raises ``InputError`` that says how to get it."""
    record = RunDirectory(path).record
    if not record.exists():
        raise InputError(f"{path} holds no finished search (no run.json); finish it with: nas search --resume --out {path}")
    return moved_to(read_record(SearchRecord, record), path)


def moved_to(record: SearchRecord, path: Path) -> SearchRecord:
    """The record with its paths as they are now: runs are moved, copied, and read from other working directories."""
    return record.model_copy(
        update={
            "front": tuple(candidate_at(candidate, path) for candidate in record.front),
            "best": record.best and candidate_at(record.best, path),
            "winner": record.winner and candidate_at(record.winner, path),
            "directory": str(path),
            "page": record.page and str(path / Path(record.page).name),
        }
    )


def candidate_at(candidate: CandidateRecord, run: Path) -> CandidateRecord:
    """The candidate with its path as it is where the run's directory is ``run``."""
    parts = Path(candidate.path).parts
    if candidate.key not in parts:
        return candidate
    below = parts[len(parts) - parts[::-1].index(candidate.key) :]
    return candidate.model_copy(update={"path": str(RunDirectory(run).candidate(candidate.key).joinpath(*below))})


def seal(directory: Path) -> None:
    """Write ``checksums.json``: the SHA-256 of every file in ``directory`` (written last: a sealed directory is complete)."""
    remove_litter(directory)
    files = (p for p in directory.rglob("*") if p.is_file() and p.name not in (_SUMS, *_GROWS) and not p.name.startswith("."))
    _write_sums(directory, sorted(files))


def vouch_for(directory: Path, patterns: Sequence[str]) -> None:
    """Write ``checksums.json`` of the files that fit ``patterns`` only: others in ``directory`` may be somebody else's."""
    _write_sums(directory, sorted(file for pattern in patterns for file in directory.glob(pattern)))


def remove_litter(directory: Path) -> None:
    """Remove what a killed process left half-written; nobody else may be writing there."""
    for left in directory.rglob(".*.tmp"):
        left.unlink(missing_ok=True)


def _write_sums(directory: Path, files: list[Path]) -> None:
    write_json(directory / _SUMS, {str(p.relative_to(directory)): sha256(p) for p in files})


def renew_sum(file: Path) -> None:
    """The checksum of a file that was written anew on purpose, where its directory keeps one."""
    sums = file.parent / _SUMS
    recorded = read_json(sums) if sums.is_file() else {}
    if file.name in recorded:
        write_json(sums, {**recorded, file.name: sha256(file)})


def damaged_files(directory: Path) -> list[str]:
    """Files below ``directory`` that differ from what a ``checksums.json`` beside or above them recorded, are gone, or cannot be read."""
    damaged: list[str] = []
    for manifest in sorted(directory.rglob(_SUMS)):
        try:
            recorded = dict(read_json(manifest))
        except (InputError, TypeError, ValueError) as error:
            damaged.append(f"{manifest}: {error}")
            continue
        for name, digest in recorded.items():
            file = manifest.parent / name
            try:
                if sha256(file) != digest:
                    damaged.append(f"{file}: content differs from its checksum")
            except FileNotFoundError:
                damaged.append(f"{file}: missing")
            except (OSError, ValueError) as error:  # the latter: a name that no file can have
                damaged.append(f"{file}: {error}")
    return damaged + [problem for journal in sorted(directory.rglob("journal.log")) for problem in _damaged_lines(journal)]


def _damaged_lines(journal: Path) -> list[str]:
    """A journal's lines that are no JSON; a torn last one is none of them, since the next worker cuts it off."""
    with journal.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                json.loads(line)
            except ValueError:
                return [f"{journal}: line {number} is not JSON"] if line.endswith(b"\n") else []
    return []


def is_sealed(directory: Path) -> bool:
    """Whether ``directory`` was sealed and every file still matches."""
    return (directory / _SUMS).is_file() and not damaged_files(directory)
