"""Where a study lives: chosen by one URL, refused with a reason where it could lose trials."""

from __future__ import annotations

import warnings
from pathlib import Path
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage

from search_spaces.errors import InputError, ToolkitError

_RELATIONAL = ("postgresql", "mysql", "mariadb")
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "gpfs", "ceph", "9p", "afs", "beegfs"}
)


def open_storage(url: str | None, directory: Path, *, workers: int = 1) -> BaseStorage:
    """The storage that ``url`` names; none: a journal file in the run directory.

    Args:
        url: ``journal:PATH``, ``sqlite:///PATH``, ``postgresql://…``, ``mysql://…`` or ``grpc://HOST:PORT``.
        directory: the run directory.
        workers: how many processes will write to it.

    Raises:
        InputError: an unknown scheme, SQLite with more than one worker, or a file on a network file system.
        ToolkitError: the server cannot be reached.
    """
    if url is None:
        url = f"journal:{directory / 'journal.log'}"
    scheme = urlsplit(url).scheme.split("+")[0].lower()
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
        return _relational(url)
    if scheme in _RELATIONAL:
        return _relational(url)
    if scheme == "grpc":
        return _grpc(url)
    raise InputError(
        f"unknown storage {redact(url)!r}; known: journal:PATH, sqlite:///PATH, postgresql://…, mysql://…, grpc://HOST:PORT"
    )


def redact(url: str) -> str:
    """The URL without its password, for records and messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def _relational(url: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith("postgresql://"):
        url = "postgresql+psycopg" + url.removeprefix("postgresql")  # the driver of our extra, not SQLAlchemy's older default
    options = {} if url.startswith("sqlite") else {"pool_pre_ping": True}  # a restarted server costs a reconnect, not a crash
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        raise InputError(f"storage {redact(url)!r} needs a driver ({error}); pip install 'pepx-nas[postgres]'") from error
    except SQLAlchemyError as error:
        detail = str(error).splitlines()[0]
        raise ToolkitError(f"cannot open storage {redact(url)!r}: {detail}; check that the server runs and the URL") from error


def _grpc(url: str) -> BaseStorage:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise InputError(f"storage {url!r} must name host and port; for example grpc://127.0.0.1:13000")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.GrpcStorageProxy(host=parts.hostname, port=parts.port)


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
    target = str(path.absolute())
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
