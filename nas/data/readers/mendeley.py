"""``mendeley:DIR``: the CNN-LSTM paper's layout, ``covid/``, ``pneumonia/``, ``normal/`` and a metadata.csv (directory, class)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nas.data.listing import Listing, normal_form
from nas.data.readers import folder
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
from nas.data.readers.layout import by_name, descend, required
from search_spaces.errors import InputError

CLASSES = ("covid", "pneumonia", "normal")


def _fits(path: Path) -> bool:
    return set(CLASSES) <= set(by_name(path)) and {"directory", "class"} <= set(_header(path / "metadata.csv"))


def _header(table: Path) -> list[str]:
    try:
        return read_csv(table, unique=False)[0]
    except InputError:
        return []


def recognise(path: Path) -> str:
    """The three folders beside such a metadata.csv."""
    return "the CNN-LSTM paper's collection (covid, pneumonia, normal, metadata.csv)" if descend(path, _fits, 1) else ""


@register_reader("mendeley", "the CNN-LSTM paper's collection: covid/, pneumonia/, normal/, metadata.csv", recognise)
def read(path: Path) -> Listing:
    """Rows of the three class folders; the table is only compared with them."""
    base = required(path, descend(path, lambda f: set(CLASSES) <= set(by_name(f)), 1), "covid/, pneumonia/ and normal/")
    whole = folder.read(base)
    listing = Listing([], whole.skipped, whole.notes)
    for row in whole.rows:
        if normal_form(row.label) in CLASSES:
            listing.rows.append(replace(row, label=normal_form(row.label), source="mendeley"))
        else:
            listing.skipped[f"folder {row.label} is no class"] += 1
    if (base / "metadata.csv").is_file():
        listed = sum(1 for _ in read_csv(base / "metadata.csv", unique=False)[1])
        if listed != len(listing.rows):
            listing.notes.append(f"metadata.csv lists {listed} images, but {len(listing.rows)} are in the class folders")
    return listing
