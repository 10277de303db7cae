"""The journal file's lock: released by the kernel when its holder dies, and it mends the line that the holder was writing.

Optuna's own file locks wait 30 seconds for a killed holder, and a line that a killed process left half-written makes the whole
journal unreadable at the next append. Under an exclusive lock a file that does not end in a line break can only be such a
torn line: it was never acknowledged to anyone, so it is cut off before anything is appended.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # not re-exported in Optuna 5

from nas.files import WriteError
from search_spaces.errors import ToolkitError


class KernelFileLock(BaseJournalFileLock):
    """An ``flock`` on a file beside the journal; single host only, as the journal itself is."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".flock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Block until the lock is held, then cut off a torn last line."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            mend_torn_tail(self._journal)
        except BaseException:  # nobody would release it, and whoever asks next (this process, too) would wait for ever
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let the next one in."""
        if self._descriptor is not None:
            os.close(self._descriptor)  # closing releases the lock
            self._descriptor = None


def mend_torn_tail(journal: Path) -> int:
    """Cut the journal back to its last complete line; returns the bytes removed. The caller holds the lock."""
    if not journal.exists():
        return 0
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            block = file.read(end - start)
            position = block.rfind(b"\n")
            if position >= 0:
                end = start + position + 1
                break
            end = start
        if end < size:
            file.truncate(end)
        return size - end


class JournalFile(JournalFileBackend):
    """Optuna's journal file whose errors name the file."""

    def __init__(self, path: Path) -> None:
        self._own_lock = KernelFileLock(path)
        super().__init__(str(path), lock_obj=self._own_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append, or raise ``WriteError`` with every earlier line intact (a torn one is cut off by the next who appends)."""
        try:
            super().append_logs(logs)
        except OSError as error:
            raise WriteError(
                f"cannot write {self._file_path}: {error.strerror or error}; free space or mend its permissions, then --resume"
            ) from error

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from a number on; what looks damaged is read once more under the lock, when nobody mends a torn line."""
        try:
            lines = list(super().read_logs(log_number_from))
        except ValueError:
            self._own_lock.acquire()
            try:
                lines = list(super().read_logs(log_number_from))
            except ValueError as error:
                raise ToolkitError(
                    f"{self._file_path} is damaged ({error}); cut it back to the last line that is whole JSON, then --resume"
                ) from error
            finally:
                self._own_lock.release()
        yield from lines


def journal_storage(path: Path) -> JournalStorage:
    """Optuna storage on a journal file that survives ``kill -9`` at any byte; several workers of one host may share it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFile(path))
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        AssertionError,
    ) as error:  # while replaying what others have written
        raise ToolkitError(
            f"{path} is damaged ({type(error).__name__}: {error}); restore it, or choose another --out"
        ) from error
    except OSError as error:
        raise ToolkitError(f"cannot open {path}: {error.strerror or error}; choose another --out or --storage") from error
