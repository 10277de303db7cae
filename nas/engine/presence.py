"""Who runs a trial, and whether that worker still lives: by its process on this host, by its beats elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from pathlib import Path
from typing import Any

from optuna.study import Study

HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 180.0  # a worker elsewhere that has been silent for so long is dead (clocks within a minute of each other)


def identity(worker: str) -> dict[str, Any]:
    """Who runs a trial: host, boot, process and worker name."""
    return {
        "host": socket.gethostname(),
        "boot": _boot_id(),
        "pid": os.getpid(),
        "start": _start_time(os.getpid()),
        "worker": worker,
    }


def _boot_id() -> str:
    """This start of this kernel and this space of process ids: two containers of one host do not see each other's processes."""
    parts = []
    with contextlib.suppress(OSError):  # no Linux: the host's name and the process id have to do
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _start_time(pid: int) -> str:
    """When a process started (clock ticks after boot); tells a live worker from a stranger that got its process id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def is_dead(owner: dict[str, Any], beat: str | None, now: datetime.datetime) -> bool:
    """Whether the worker that owns a trial is gone: by its process on this host, by its silence elsewhere."""
    if owner.get("host") == socket.gethostname() and owner.get("boot") == _boot_id():
        try:
            os.kill(int(owner["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return owner.get("start", "") != _start_time(int(owner["pid"]))
    if beat is None:
        return True
    return (now - datetime.datetime.fromisoformat(beat)).total_seconds() > STALE_SECONDS


def beat(study: Study, worker: str) -> None:
    """Say that a worker lives; read by sweeps on other hosts."""
    study.set_user_attr(f"beat:{worker}", datetime.datetime.now(datetime.UTC).isoformat())
