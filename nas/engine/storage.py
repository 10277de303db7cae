"""Where a study lives: chosen by one URL, refused with a reason where it could lose trials."""

from __future__ import annotations

import os
import re
import time
import warnings
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import optuna
from optuna.storages import BaseStorage

from nas.engine.patience import PatientStorage
from search_spaces.errors import InputError, ToolkitError, first_line

RELATIONAL = ("postgresql", "mysql", "mariadb")
_DRIVERS = {
    "postgresql+psycopg": "pip install 'pepx-nas[postgres]'",
    "mysql": "pip install mysqlclient",
    "mariadb": "pip install mysqlclient",
}
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "ceph", "9p", "afs", "beegfs", "glusterfs", "ocfs2", "gfs2",
     "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.mfs"}
)  # fmt: skip

_CONNECT_SECONDS = 10.0


def open_storage(url: str | None, directory: Path, *, workers: int = 1, patience: float = 0.0) -> BaseStorage:
    """The storage that ``url`` names; none: a journal file in the run directory.

    Args:
        url: ``journal:PATH``, ``sqlite:///PATH``, ``postgresql://…``, ``mysql://…`` or ``grpc://HOST:PORT``.
        directory: the run directory.
        workers: how many processes will write to it.
        patience: seconds to wait for a server that is away at first; once opened, every operation waits for minutes.

    Raises:
        InputError: an unknown scheme, SQLite with more than one worker, or a file on a network file system.
        ToolkitError: the server cannot be reached.
    """
    if url is None:
        url = f"journal:{directory / 'journal.log'}"
    scheme = _split(url).scheme.split("+")[0].lower()
    if scheme == "journal":
        from nas.engine.journal import journal_storage

        path = Path(url.partition(":")[2].removeprefix("//"))
        _refuse_network_file_system(path, "a journal file")
        return journal_storage(path)
    if scheme == "sqlite":
        if workers > 1:
            raise InputError(
                f"SQLite takes one worker, but {workers} were asked for (its locks lose trials under several writers); "
                "leave --storage out for a journal file on one host, or use postgresql://…"
            )
        _refuse_network_file_system(Path(urlsplit(url).path.removeprefix("/")), "SQLite")
        return _relational(url, patience)
    if scheme in RELATIONAL:
        return _relational(url, patience)
    if scheme == "grpc":
        return _grpc(url, patience)
    raise InputError(
        f"unknown storage {redact(url)!r}; known: journal:PATH, sqlite:///PATH, postgresql://…, mysql://…, grpc://HOST:PORT"
    )


def redact(url: str) -> str:
    """The URL without its password, for records and messages."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read lazily, and refused lazily
        return parts
    except ValueError as error:
        raise InputError(f"storage {redact(url)!r} is no URL ({error}); for example postgresql://user@host/database") from error


def _relational(url: str, patience: float) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith("postgresql://"):
        url = "postgresql+psycopg" + url.removeprefix("postgresql")  # the driver of our extra, not SQLAlchemy's older default
    options = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
    shown = redact(url)
    limit = time.monotonic() + patience
    while True:
        try:
            opened = optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=options))
            return PatientStorage(opened, f"storage {shown!r}")
        except ImportError as error:
            remedy = _DRIVERS.get(url.partition("://")[0], "install the one that the URL names")
            raise InputError(f"storage {shown!r} needs a driver ({error}); {remedy}") from error
        except SQLAlchemyError as error:
            if time.monotonic() > limit:
                detail = first_line(error)
                raise ToolkitError(
                    f"cannot open storage {shown!r}: {detail}; check that the server runs and the URL"
                ) from error
            time.sleep(1.0)


def _grpc(url: str, patience: float) -> BaseStorage:
    parts = _split(url)
    if not parts.hostname or not parts.port:
        raise InputError(f"storage {url!r} must name host and port; for example grpc://127.0.0.1:13000")
    try:
        import grpc
    except ImportError as error:
        raise InputError(f"storage {url!r} needs gRPC ({error}); pip install 'pepx-nas[grpc]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        proxy = optuna.storages.GrpcStorageProxy(host=parts.hostname, port=parts.port)
    try:
        proxy.wait_server_ready(timeout=max(_CONNECT_SECONDS, patience))
    except (ConnectionError, grpc.FutureTimeoutError) as error:
        raise ToolkitError(f"no proxy answers at {url!r}; start one with: python -m nas.engine.proxy --storage …") from error
    return PatientStorage(proxy, f"storage {url!r}")


def refuse_proxied_file(storage: BaseStorage) -> None:
    """Raise ``InputError`` for a gRPC proxy before a journal (call it once a study exists there).

    A journal numbers its studies from 0, a database from 1: that is what shows through the proxy.
    """
    if not isinstance(getattr(storage, "inner", None), optuna.storages.GrpcStorageProxy):
        return
    try:
        storage.get_study_name_from_id(0)
    except KeyError:
        return
    raise InputError("the gRPC proxy serves a journal file, whose locks do not reach through a proxy; let it serve a database")


def _refuse_network_file_system(path: Path, what: str) -> None:
    kind = file_system(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise InputError(
            f"{what} at {path} lies on a network file system ({kind}), where file locks lose writes; "
            "use a local --out, or --storage postgresql://… for several hosts"
        )


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system that holds ``path`` (``ext4``, ``nfs4``, …), or ``""`` where the system does not tell."""
    if not mounts.exists():
        return ""
    target = os.path.realpath(path)  # a home's "scratch" is often a link to the cluster's file system
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
