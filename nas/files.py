"""Files that are either whole or not there: every write goes to a temporary name, is synced, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search_spaces.errors import InputError, ToolkitError

MAX_JSON_BYTES = 256 * 2**20
MAX_TOML_BYTES = 2**20


class WriteError(ToolkitError):
    """A file cannot be written: the place's fault, not that of what was to be written."""


def texts(names: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    """One name or several, paths among them, as text."""
    return (str(names),) if isinstance(names, str | Path) else tuple(map(str, names))


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        InputError: a file stands in its way.
        WriteError: no permission, read-only.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"cannot write to {path}: a file stands there; choose another --out, or move the file") from error
    except OSError as error:
        raise WriteError(f"cannot write to {path}: {error.strerror or error}; free space or choose another --out") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically: a reader sees the old file or the new one, never a part.

    Raises:
        InputError: a file stands where the folder should be.
        WriteError: disk full, no permission, read-only; names the file, the old one is intact.
    """
    make_folder(path.parent)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600; run directories are shared with colleagues
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise WriteError(f"cannot write {path}: {error.strerror or error}; free space or choose another --out") from error


def _sync_directory(path: Path) -> None:
    """Make the rename itself durable (POSIX: the directory entry is synced apart from the file)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically; a file name in it that is none is written as the bytes that it is."""
    write_bytes(path, content.encode(errors="surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing, oversized or damaged file raises ``InputError`` that names it."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {MAX_JSON_BYTES}; it is no record of ours")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); restore it or delete it") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read TOML that people write; a missing, oversized or damaged file raises ``InputError`` that names it."""
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {MAX_TOML_BYTES}; it is no configuration")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML ({error}); mend it") from error


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Around the reading of a document of ours: a shape that it should not have raises ``InputError`` that names the file."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:  # pydantic's errors are ValueErrors
        raise InputError(
            f"{path} is damaged or of another version ({type(error).__name__}: {str(error)[:200]}); restore it"
        ) from error


def file_name(name: str) -> str:
    """``detrac:depth=2`` → ``detrac-depth=2``: a name that every file system takes."""
    return "".join(letter if letter.isalnum() or letter in "-_.=+" else "-" for letter in name)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
