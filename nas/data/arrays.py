"""Rows of arrays inside ``.npz`` archives, one at a time: an archive may be larger than memory and is never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nas.data.listing import clean
from search_spaces.errors import InputError

MAX_ROW_BYTES = 1 << 28
_DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError)


def keys(archive: Path) -> list[str]:
    """Names of the arrays in an archive; a file that is none raises ``InputError``."""
    try:
        with zipfile.ZipFile(archive) as file:
            return [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{archive} is not an array archive ({clean(error)}); download it again") from error


def shape(archive: Path, key: str) -> tuple[int, ...]:
    """Shape of one array, from its header alone."""
    with _open(archive, key) as file:
        return _header(file, archive, key)[0]


def stream(archive: Path, key: str, wanted: Sequence[int]) -> Iterator[NDArray]:
    """The rows ``wanted`` (ascending) of one array, read forward."""
    with _open(archive, key) as file:
        full, dtype = _header(file, archive, key)
        count = math.prod(full[1:])
        size = count * dtype.itemsize
        position = 0
        for index in wanted:
            if index < position or index >= full[0]:
                raise InputError(f"{archive}, array {key!r}: row {index} is out of order or range (0 to {full[0] - 1})")
            while position <= index:
                content = _exactly(file, size, archive, key)
                position += 1
            yield np.frombuffer(content, dtype=dtype, count=count).reshape(full[1:])


def load(archive: Path, key: str, max_bytes: int = 1 << 30) -> NDArray:
    """A whole (small) array, for example labels."""
    with _open(archive, key) as file:
        full, dtype = _header(file, archive, key)
        size = math.prod(full) * dtype.itemsize
        if size > max_bytes:
            raise InputError(f"{archive}, array {key!r} has {size} bytes, more than {max_bytes}; it holds no labels")
        return np.frombuffer(_exactly(file, size, archive, key), dtype=dtype).reshape(full)


def _open(archive: Path, key: str) -> IO[bytes]:
    try:
        return zipfile.ZipFile(archive).open(f"{key}.npy")
    except _DAMAGED as error:
        raise InputError(f"{archive} has no readable array {key!r} ({clean(error)}); download it again") from error


def _header(file: IO[bytes], archive: Path, key: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        full, fortran, dtype = reader(file)
    except (
        Exception
    ) as error:  # numpy parses the header as Python text, whose parser raises anything (TokenError, SyntaxError, …)
        raise InputError(f"{archive}, array {key!r}: damaged header ({clean(error)}); download it again") from error
    row_bytes = math.prod(full[1:]) * dtype.itemsize
    if dtype.hasobject or fortran or not full or row_bytes > MAX_ROW_BYTES or any(side < 0 for side in full):
        raise InputError(f"{archive}, array {key!r}: {dtype} {full} is no plain array of images or labels; it is not loaded")
    return full, dtype


def _exactly(file: IO[bytes], size: int, archive: Path, key: str) -> bytes:
    try:
        content = file.read(size)
    except (*_DAMAGED, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise InputError(f"{archive}, array {key!r} is damaged ({clean(error)}); download it again") from error
    if len(content) != size:
        raise InputError(f"{archive}, array {key!r} is truncated; download it again")
    return content
