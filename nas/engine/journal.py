"""The journal file's lock: released by the kernel when its holder dies, and it mends the line that the holder was writing.

Optuna's own file locks wait 30 seconds for a killed holder, and a line that a killed process left half-written makes the whole
journal unreadable at the next append. Under an exclusive lock a file that does not end in a line break can only be such a
torn line: it was never acknowledged to anyone, so it is cut off before anything is appended.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # not re-exported in Optuna 5


class KernelFileLock(BaseJournalFileLock):
    """An ``flock`` on a file beside the journal; single host only, as the journal itself is."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".flock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Block until the lock is held, then cut off a torn last line."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor
        mend_torn_tail(self._journal)
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


def journal_storage(path: Path) -> JournalStorage:
    """Optuna storage on a journal file that survives ``kill -9`` at any byte; several workers of one host may share it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=KernelFileLock(path)))
