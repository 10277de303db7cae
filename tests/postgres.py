"""A PostgreSQL server of our own on loopback, as an unprivileged user, that can be stopped and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """Where the server's programs are, or None: Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    control = shutil.which("pg_ctl")
    return None if control is None else Path(control).parent


def missing() -> str:
    """Why no server can be started here, ``""`` where it can."""
    if programs() is None:
        return "no PostgreSQL server is installed"
    if os.getuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL refuses to run as root, and there is no runuser"
    return ""


class Server:
    """One database cluster below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "postgres"
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # the server refuses to run as root
        self._log = 0

    def create(self) -> None:
        """Make the cluster's files."""
        self.home.mkdir(parents=True)
        if self._as_user:
            shutil.chown(self.home, "postgres", "postgres")
            for parent in self.home.parents:
                if parent.stat().st_uid == 0 and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")

    def start(self, connections: int = 100) -> None:
        """Start and wait until it answers."""
        self._log += 1
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c max_connections={connections}"
        self._run("pg_ctl", "-w", "-l", str(self.home / f"log{self._log}"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop; ``"immediate"`` is a crash: connections break and the next start recovers."""
        self._run("pg_ctl", "-m", mode, "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        line = [*self._as_user, str(folder / program), "-D", str(self.home / "db"), *arguments]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd=self.home)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres(directory: Path) -> Iterator[Server]:
    """A running server; raises ``RuntimeError`` where none is installed."""
    if missing():
        raise RuntimeError(f"{missing()}; install the package postgresql")
    server = Server(directory)
    server.create()
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # stopped already
            server.stop("immediate")
