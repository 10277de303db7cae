"""The readers' interface and registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from nas.data.dataset import Dataset
from nas.data.listing import Listing
from search_spaces.registry import Registry

Read = Callable[[Path], Listing]
Generate = Callable[[str, int], Dataset]

# In the order in which a bare path is tried: marked layouts before the general ones.
_OWN = (
    "phantom", "covidx", "radiography", "covid-qu-ex", "ieee8023", "rsna", "nih14", "mendeley", "kaggle3", "dicom", "medmnist",
    "table", "folder",
)  # fmt: skip


def _nothing(path: Path) -> str:
    return ""


@dataclass(frozen=True)
class Reader:
    """One layout.

    Attributes:
        name: as in ``READER:PATH``.
        title: one line for ``nas list readers``.
        read: path → listing.
        recognise: path → what was recognised, or "" when the path is of another layout. Must be quick and must not raise.
        generate: (options, image size) → data set, for readers that make images rather than find them; then ``read`` is None.
    """

    name: str
    title: str
    read: Read | None = None
    recognise: Callable[[Path], str] = _nothing
    generate: Generate | None = None


def _load_own() -> None:
    for name in _OWN:
        import_module(f"nas.data.readers.{name.replace('-', '_')}")


readers: Registry[Reader] = Registry("data reader", "pepx_nas.readers", _load_own)


def register_reader(name: str, title: str = "", recognise: Callable[[Path], str] = _nothing) -> Callable[[Read], Read]:
    """Decorator that registers ``read(path) -> Listing`` under ``name``."""

    def add(read: Read) -> Read:
        readers.register(name)(Reader(name, title or (read.__doc__ or name).strip().splitlines()[0], read, recognise))
        return read

    return add


def get_reader(name: str) -> Reader:
    """The reader called ``name``; an entry point may name a bare ``read`` function."""
    entry = readers.get(name)
    if isinstance(entry, Reader):
        return entry
    return Reader(name, name, cast(Read, entry))


def reader_names() -> list[str]:
    """All names, in the order in which a bare path is tried: marked layouts, plug-ins, then the general ones."""
    known = readers.names()  # in order of import, which is anyone's
    return [*_OWN[:-2], *(name for name in known if name not in _OWN), *_OWN[-2:]]


def reader_descriptions() -> dict[str, str]:
    """Name → one line, for ``nas list readers``."""
    return {name: get_reader(name).title for name in reader_names()}
