"""Data specs: ``phantom``, ``phantom:n=600``, ``READER:PATH``, or a bare path that is recognised by its layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.data.listing import clean
from nas.data.readers.base import Reader, get_reader, reader_names
from search_spaces.errors import InputError

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass(frozen=True)
class Spec:
    """A parsed spec: which reader gets which argument, and what was recognised when the reader was not named."""

    text: str
    reader: Reader
    argument: str
    recognised: str = ""


def parse(text: str) -> Spec:
    """Parse one spec.

    Raises:
        InputError: unknown reader, missing path, archive, or a layout that nothing recognises.
    """
    name, colon, argument = text.partition(":")
    if name in reader_names():
        reader = get_reader(name)
        if reader.generate is None and not argument:
            raise InputError(f"data spec {clean(text)!r} names no path; write {name}:PATH")
        if reader.generate is None:
            _check_path(argument)
        return Spec(text, reader, argument)
    if colon and not _exists(text):
        raise InputError(f"unknown data reader {clean(name)!r}; known: {', '.join(reader_names())}")
    return _recognise(text)


def _recognise(text: str) -> Spec:
    path = _check_path(text)
    for name in reader_names():
        seen = get_reader(name).recognise(path)
        if seen:
            return Spec(text, get_reader(name), text, f"{clean(text)} recognised as {name}: {seen}")
    raise InputError(
        f"the layout of {clean(text)} is not recognised (no class folder holds an image); name a reader, READER:PATH, of: "
        + ", ".join(reader_names())
    )


def _check_path(text: str) -> Path:
    if not text.strip():
        raise InputError("the data spec is empty; write phantom or READER:PATH")
    path = Path(text)
    if not _exists(text):
        where = "" if path.is_absolute() else f" in {Path.cwd()}, the working directory"
        raise InputError(f"no file or folder {clean(text)!r}{where}; check the path, or use one of: phantom, READER:PATH")
    if path.is_file() and path.name.lower().endswith(_ARCHIVES):
        raise InputError(f"{clean(text)} is an archive; unpack it first and give the folder")
    return path


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # name too long, NUL
        return False
