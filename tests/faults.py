"""Every write of a run directory fails once in every way, and the search goes on as if nothing had happened.

    python -m tests.faults [--every 1] [--record FILE]

A small search runs in this process. Each time it is about to write a file (or to append to its journal) in a way that has not failed
yet, it fails: the disk is full, permission is denied, the file system is read-only, or the process "is killed" between writing and
renaming. Then the old content must be intact, the error must name the file, and the search is resumed, until a whole search meets no
new fault. It must end with the same networks and scores as one that nothing happened to.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from optuna.storages.journal import JournalFileBackend

from nas import files
from nas.engine import presence
from nas.engine import study as studies
from nas.jobs.search import search
from nas.records import SearchRecord
from search_spaces.errors import ToolkitError
from tests.chaos import command, keep

TINY: dict[str, Any] = {
    "data": "phantom:n=60", "image_size": 32, "budget": "300K", "epochs": 2, "trials": 2, "finalists": 1, "final_seeds": 1,
    "final_epochs": 1, "audit_images": 40, "screen": False, "engine": "here", "device": "cpu",
}  # fmt: skip
FULL, DENIED, READ_ONLY, KILLED = "disk full", "no permission", "read-only", "killed"
_NUMBERS = {FULL: errno.ENOSPC, DENIED: errno.EACCES, READ_ONLY: errno.EROFS}
_OWN = re.compile(r"\.(?P<name>.+)\.[^.]+\.tmp$")  # the temporary name of nas.files


class Killed(BaseException):
    """Stands for SIGKILL: nobody handles it."""


@dataclass
class Faults:
    """Which faults have happened; raises those that have not.

    Attributes:
        every: of the points that are met, only every so many fail (the suite's short form).
        last: the file of the fault that was raised last, its content before, and the kind.
    """

    directory: Path
    every: int = 1
    done: set[tuple[str, str]] = field(default_factory=set)
    met: int = 0
    last: tuple[Path, bytes, str] = (Path(), b"", "")

    def hit(self, path: Path, point: str, kind: str) -> bool:
        """Whether this write fails now."""
        if (point, kind) in self.done or not path.is_relative_to(self.directory):
            return False
        self.done.add((point, kind))
        self.met += 1
        if self.met % self.every:
            return False
        self.last = (path, path.read_bytes() if path.exists() else b"", kind)
        return True

    def fail(self, path: Path, point: str, kind: str) -> None:
        """Raise the fault, if it is its turn."""
        if self.hit(path, point, kind):
            if kind == KILLED:
                raise Killed
            raise OSError(_NUMBERS[kind], os.strerror(_NUMBERS[kind]))

    def check(self, error: BaseException) -> None:
        """The file that failed is as it was (a journal may have grown), and the error names it."""
        path, before, kind = self.last
        now = path.read_bytes() if path.exists() else b""
        assert now.startswith(before) if path.name == "journal.log" else now == before, f"{path} changed by a {kind} write"
        if not isinstance(error, Killed):
            assert str(path) in str(error), f"{error} does not name {path}"

    @contextlib.contextmanager
    def injected(self, process: int) -> Iterator[None]:
        """The faults in force, in a "process" of its own: what an earlier one left behind is dead."""
        make, sync, rename, append = tempfile.mkstemp, os.fsync, os.replace, JournalFileBackend.append_logs

        def target(temporary: str) -> Path | None:
            found = _OWN.fullmatch(Path(temporary).name)
            return None if found is None else Path(temporary).with_name(found["name"])

        def mkstemp(*arguments: Any, **options: Any) -> Any:
            if str(options.get("suffix")) == ".tmp":
                path = Path(options["dir"]) / options["prefix"][1:-1]
                self.fail(path, str(path), DENIED)
            return make(*arguments, **options)

        def fsync(descriptor: int) -> None:
            path = target(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path is not None:
                self.fail(path, str(path), FULL)
            sync(descriptor)

        def replace(source: Any, path: Any) -> None:
            if target(str(source)) is not None:
                for kind in (READ_ONLY, KILLED):
                    self.fail(Path(path), str(path), kind)
            rename(source, path)

        def append_logs(backend: Any, logs: list[dict[str, Any]]) -> None:
            path = Path(backend._file_path)
            point = f"{path} {logs[0].get('op_code')} {sorted(logs[0].get('user_attr', {}))[:1]}"
            for kind in (DENIED, READ_ONLY):
                self.fail(path, point, kind)
            for kind, error in ((FULL, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), (KILLED, Killed())):
                if self.hit(path, point, kind):  # half a line is written
                    with path.open("ab") as journal:
                        journal.write(json.dumps(logs[0]).encode()[:20])
                    raise error
            append(backend, logs)
            self.fail(path, f"{point} acknowledged", KILLED)

        def release(*arguments: Any) -> None:
            if self.last[2] != KILLED:
                studies_release(*arguments)

        studies_release: Callable[..., None] = studies.release
        with (
            mock.patch.object(files.tempfile, "mkstemp", mkstemp),
            mock.patch.object(os, "fsync", fsync),
            mock.patch.object(os, "replace", replace),
            mock.patch.object(JournalFileBackend, "append_logs", append_logs),
            mock.patch.object(studies, "release", release),
            mock.patch.object(studies, "MAX_ATTEMPTS", 10**9),
            mock.patch.object(studies, "OWNERLESS_SECONDS", 0.0),
            mock.patch.object(presence, "_start_time", return_value=str(process)),
        ):
            yield


def survive(directory: Path, every: int = 1, most: int = 5000) -> tuple[SearchRecord, Faults]:
    """The record of a search in ``directory`` that met every fault, and the faults."""
    faults = Faults(directory, every)
    for process in range(most):
        try:
            with faults.injected(process):
                resumed = {"resume": True} if (directory / "settings.json").exists() else TINY
                return search(**{**resumed, "engine": "here", "out": directory}), faults
        except (Killed, ToolkitError) as error:
            faults.check(error)
    raise AssertionError(f"{most} faults, and no end")


def outcome(record: SearchRecord) -> list[Any]:
    """What must be equal, whatever happened on the way: networks, scores and the finalist's metrics, to the last digit."""
    trials = [(t.key, t.quality, t.outcome, [m.value for m in t.metrics]) for t in record.trials]
    return [trials, [(c.key, [m.value for m in c.metrics], c.unmet) for c in record.front], record.accounting.completed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.monotonic()
    from nas.engine.directory import damaged_files

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        whole = search(**TINY, out=root / "whole")
        record, faults = survive(root / "run", options.every)
        found: dict[str, Any] = {
            "command": command("faults"),
            "faults": faults.met // options.every,
        }
        points = sorted({point.replace(scratch, "").partition(" ")[0] for point, _ in faults.done})
        found["files"] = len(points)
        found["by_kind"] = {kind: len(list(group)) for kind, group in itertools.groupby(sorted(k for _, k in faults.done))}
        found["same_as_uninterrupted"] = outcome(record) == outcome(whole)
        found["damaged"] = damaged_files(root / "run")
        found["litter"] = [str(p) for p in (root / "run").rglob(".*.tmp") if "trials" in p.parts or "candidates" in p.parts]
    found["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(json.dumps(found, indent=1))
    if options.record:
        keep(options.record, found)
    return 0 if found["same_as_uninterrupted"] and not found["damaged"] and not found["litter"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
