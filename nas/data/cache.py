"""The decoded cache: every image decoded once per set of settings, then memory-mapped.

A cache entry is a folder named by *content*: the hashes of all files in row order and the settings. An index beside the entries maps
the cheap identity of the files (path, size, times) to that name, so that an untouched data set is found without reading it, a moved or
copied one after hashing, a changed one not at all. Entries are built under a temporary name and renamed; one whose checksums do not
match is rebuilt. What could not be read for want of a decoder or of memory is not kept: the next load tries again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.duplicates import near_duplicates
from nas.data.listing import ArrayRow, Row
from nas.data.preprocessing import Preprocessing
from nas.files import WriteError, read_json, sha256, write_json
from search_spaces.errors import InputError, ToolkitError

VERSION = 5  # raise it whenever decoding gives other pixels
ROW_DTYPE = np.dtype(
    [
        ("row", "<i8"),  # index into the listing
        ("height", "<i4"),
        ("width", "<i4"),
        ("mask", "u1"),  # a MASK_… state
        ("no_lungs", "?"),  # a crop looked for lungs and found none
        ("look", "<u8", (4,)),  # perceptual hash
        ("pixels", "S16"),  # hash of the decoded image
    ]
)
MASK_NONE, MASK_FITS, MASK_RESIZED, MASK_UNREADABLE, MASK_EMPTY, MASK_UNAVAILABLE = range(6)
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Decoded:
    """Decoded rows: uint8 images (n, 1, S, S), packed masks (n, ceil(S·S/8)), one ``ROW_DTYPE`` record each, near-duplicate pairs (k, 2),
    and failures."""

    images: NDArray[np.uint8]
    packed_masks: NDArray[np.uint8]
    rows: NDArray[np.void]
    near: NDArray[np.int64]
    unreadable: tuple[tuple[str, str], ...]  # (file, reason)


def default_cache() -> Path:
    """``$PEPX_NAS_CACHE``, else ``pepx-nas`` under ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("PEPX_NAS_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pepx-nas"


def cheap_identity(rows: Sequence[Row], settings: Preprocessing) -> str:
    """Hash of every file's path, size and times: equal while nothing was touched."""
    digest = hashlib.sha256(_settings_text(settings).encode())
    for row in rows:
        for path in _paths(row):
            digest.update(_stat_text(path).encode(errors="surrogatepass"))
        digest.update(_row_text(row).encode())
    return digest.hexdigest()[:32]


def content_identity(rows: Sequence[Row], settings: Preprocessing) -> str:
    """Hash of every file's bytes in row order: the name of the cache entry."""
    digest = hashlib.sha256(_settings_text(settings).encode())
    seen: dict[Path, bytes] = {}
    for row in rows:
        for path in _paths(row):
            if isinstance(row.image, ArrayRow) and path in seen:  # thousands of rows share one archive
                digest.update(seen[path])
                continue
            seen[path] = _file_digest(path)
            digest.update(seen[path])
        digest.update(_row_text(row).encode())
    return digest.hexdigest()[:32]


def _settings_text(settings: Preprocessing) -> str:
    return f"{VERSION} {settings.model_dump_json()}"


def _row_text(row: Row) -> str:
    array = f"{row.image.key}[{row.image.index}]" if isinstance(row.image, ArrayRow) else ""
    return f"|{array}|{row.invert}|{row.mask is not None}|"


def _paths(row: Row) -> list[Path]:
    image = row.image.archive if isinstance(row.image, ArrayRow) else row.image
    return [image] if row.mask is None else [image, row.mask]


def _stat_text(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        return f"{path}|{type(error).__name__}|"
    return f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|"


def _file_digest(path: Path) -> bytes:
    from nas.data.decode import UnreadableError, read_bytes

    try:
        if path.suffix == ".npz":  # may be larger than any single image
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        return hashlib.sha256(read_bytes(path)).digest()
    except (UnreadableError, OSError) as error:
        return f"!{error}".encode()


class Store:
    """A cache folder: ``find`` an entry, or fill the ``Writer`` of a ``building`` and ``keep`` it.

    Writing raises ``ToolkitError`` where the folder cannot be written or the disk is full.
    """

    def __init__(self, root: Path) -> None:
        self.entries = root / "decoded"
        self.index = root / "index"

    def find(self, cheap: str) -> Decoded | None:
        """The entry of an untouched data set, or None."""
        try:
            name = read_json(self.index / f"{cheap}.json")["entry"]
            return self.open(str(name))
        except (InputError, KeyError, TypeError):  # no index file, or a damaged one: hashing the content decides
            return None

    def open(self, name: str) -> Decoded | None:
        """An entry by content, or None; a damaged entry is removed."""
        folder = self.entries / Path(name).name
        if not folder.is_dir():
            return None
        try:
            return _open(folder)
        except (OSError, KeyError, TypeError, ValueError, InputError):
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def remember(self, cheap: str, name: str) -> None:
        """Note that the files of this cheap identity have the content ``name``."""
        with self._writing():
            write_json(self.index / f"{cheap}.json", {"entry": name})

    @contextmanager
    def building(self, image_size: int) -> Iterator[Writer]:
        """A new entry under a temporary name; thrown away when anything is raised."""
        with self._writing():
            self.entries.mkdir(parents=True, exist_ok=True)
            self._sweep()
            writer = Writer(Path(tempfile.mkdtemp(prefix=".building-", dir=self.entries)), image_size)
            try:
                yield writer
            except BaseException:
                writer.discard()
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, WriteError) as error:
            reason = getattr(error.__cause__ or error, "strerror", None) or error
            raise ToolkitError(
                f"cannot write the cache {self.entries}: {reason}; free space, or set PEPX_NAS_CACHE to a folder you may write"
            ) from error

    def _sweep(self) -> None:
        """Remove what a killed process left half-built a day ago."""
        for folder in self.entries.glob(".building-*"):
            with suppress(FileNotFoundError):  # another process finished it meanwhile
                if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def keep(self, writer: Writer, name: str, unreadable: Sequence[tuple[str, str]]) -> Decoded:
        """Finish the entry, rename it to ``name`` and open it."""
        writer.finish(unreadable)
        target = self.entries / name
        try:
            os.rename(writer.folder, target)
        except OSError:  # another process finished the same entry first: its bytes are the same
            shutil.rmtree(writer.folder, ignore_errors=True)
        return _open(target)

    def lend(self, writer: Writer, unreadable: Sequence[tuple[str, str]]) -> Decoded:
        """Finish and open an entry that is not to be found again: its files go as soon as nobody maps them."""
        writer.finish(unreadable)
        found = _open(writer.folder)
        shutil.rmtree(writer.folder, ignore_errors=True)  # where mapped files cannot be removed, the sweep does it
        return found


class Writer:
    """Appends decoded rows to files, so that memory stays flat however large the data set is."""

    def __init__(self, folder: Path, image_size: int) -> None:
        self.folder = folder
        self._size = image_size
        self._images = (folder / "images.bin").open("wb")
        self._masks = (folder / "masks.bin").open("wb")
        self._sums = {"images.bin": hashlib.sha256(), "masks.bin": hashlib.sha256()}
        self._rows: list[tuple[Any, ...]] = []

    def add(self, image: NDArray[np.uint8], packed_mask: NDArray[np.uint8], record: tuple[Any, ...]) -> None:
        """One image (S, S), its packed mask and its ``ROW_DTYPE`` record."""
        for file, name, array in ((self._images, "images.bin", image), (self._masks, "masks.bin", packed_mask)):
            content = array.tobytes()
            file.write(content)
            self._sums[name].update(content)
        self._rows.append(record)

    def discard(self) -> None:
        """Throw the half-built entry away."""
        for file in (self._images, self._masks):
            with suppress(OSError):  # on a full disk what is still buffered has no room either
                file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, unreadable: Sequence[tuple[str, str]]) -> None:
        """Write the row table and the manifest; the folder is complete afterwards."""
        for file in (self._images, self._masks):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        rows = np.array(self._rows, dtype=ROW_DTYPE)
        images = _map(self.folder / "images.bin", (len(rows), 1, self._size, self._size))
        near = np.array(near_duplicates(images, rows["look"]), dtype=np.int64).reshape(-1, 2)
        sums = {name: digest.hexdigest() for name, digest in self._sums.items()}
        for name, table in (("rows.npy", rows), ("near.npy", near)):
            np.save(self.folder / name, table, allow_pickle=False)
            sums[name] = sha256(self.folder / name)
        manifest = {"version": VERSION, "images": len(rows), "image_size": self._size, "sha256": sums}
        write_json(self.folder / "manifest.json", {**manifest, "unreadable": [list(pair) for pair in unreadable]})


def _open(folder: Path) -> Decoded:
    """Verify and memory-map an entry; any mismatch raises ``ValueError``."""
    manifest = read_json(folder / "manifest.json")
    if manifest["version"] != VERSION:
        raise ValueError("another version")
    for name in ("images.bin", "masks.bin", "rows.npy", "near.npy"):
        if sha256(folder / name) != manifest["sha256"][name]:
            raise ValueError(f"{name} is damaged")
    n, size = int(manifest["images"]), int(manifest["image_size"])
    rows = np.load(folder / "rows.npy", allow_pickle=False)
    if rows.dtype != ROW_DTYPE or rows.shape != (n,):
        raise ValueError("rows.npy is damaged")
    near = np.load(folder / "near.npy", allow_pickle=False)
    packed = (size * size + 7) // 8
    return Decoded(
        images=_map(folder / "images.bin", (n, 1, size, size)),
        packed_masks=_map(folder / "masks.bin", (n, packed)),
        rows=rows,
        near=near,
        unreadable=tuple((str(file), str(reason)) for file, reason in manifest["unreadable"]),
    )


def _map(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A copy-on-write map: writable for those who insist (torch), the file never changes."""
    if 0 in shape:
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="c", shape=shape)
