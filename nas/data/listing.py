"""What a reader finds on disk, before any pixel is decoded: rows of text and paths."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from search_spaces.errors import InputError

MAX_TEXT = 300
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))  # what word processors make of "-"
_COVID = {"covid", "covid19", "covid-19", "covid_19", "sars-cov-2", "covid 19"}
_SPLITS = {
    "": "", "train": "train", "training": "train", "tr": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "audit": "audit", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArrayRow:
    """One image inside an ``.npz`` archive of arrays: which array, which row."""

    archive: Path
    key: str
    index: int


@dataclass(frozen=True, slots=True)
class Row:
    """One image as a reader found it; empty strings are unknown.

    Attributes:
        image: the file, or a row of an array archive.
        label: the class as the data set spells it.
        mask: lung mask file, of any size, or None.
        patient: whose image it is, under an id that means one person throughout ``scope``.
        scope: within what patients' ids are unique; "": the listing. A person may visit several sources (scanners, wards), so
            a reader names the source here only where its numbering starts anew in each.
        split: the part that the data set puts it in, in any usual spelling.
        invert: the data set declares that bright means air (MONOCHROME1); pixels are inverted after decoding.
        file: what the image is called in tables; the path by default.
        native_size: height and width of the original, where the data set states them (its files may be resized copies).
        data_set: which of several joined data sets it is of; "" where there is only one. Readers leave it empty.
    """

    image: Path | ArrayRow
    label: str
    mask: Path | None = None
    patient: str = ""
    group: str = ""
    source: str = ""
    view: str = ""
    split: str = ""
    invert: bool = False
    file: str = ""
    native_size: tuple[int, int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    scope: str = ""
    data_set: str = ""

    @property
    def person(self) -> str:
        """The patient's id with its scope: equal for two rows exactly if they name the same person; "" where none is known."""
        return f"{self.scope}/{self.patient}" if self.patient and self.scope else self.patient


@dataclass
class Listing:
    """All rows of one data set, with what was left out and why (``skipped``: reason → files)."""

    rows: list[Row]
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def clean(text: object) -> str:
    """Text that is safe to print: no control, formatting or unassigned characters, trimmed, at most ``MAX_TEXT`` characters."""
    text = str(text)[: 4 * MAX_TEXT]
    if text.isprintable():
        return text.strip()[:MAX_TEXT].strip()
    kept = (c if c.isprintable() else " " if unicodedata.category(c) == "Zs" else "" for c in text)
    return "".join(kept).strip()[:MAX_TEXT].strip()


def normal_form(label: str) -> str:
    """The spelling under which class names are compared: lower case, blanks as ``_``, every spelling of COVID-19 as ``covid``;
    accents composed or not, dashes and wide letters alike (a typed ``é`` is one character, a Mac's folder name has two)."""
    lowered = " ".join(unicodedata.normalize("NFKC", clean(label)).translate(_HYPHENS).casefold().split())
    return "covid" if lowered in _COVID else lowered.replace(" ", "_")


def split_name(text: str, where: str) -> str:
    """``train`` / ``validation`` / ``audit`` / ``test`` or ``""``; other values raise ``InputError``."""
    name = _SPLITS.get(clean(text).casefold())
    if name is None:
        raise InputError(f"{where}: split {clean(text)!r} is none of train, validation, audit, test; correct or empty it")
    return name


def resolve(base: Path, name: str, *, free: bool) -> Path | None:
    """The path of a file that a list names, relative names starting from ``base``.

    A user's own list may name absolute paths and ``..`` (``free``); a downloaded data set's list may not: then None.
    """
    if not free and (Path(name).is_absolute() or ".." in Path(name).parts):
        return None
    return base / name


def pinned(listing: Listing, root: Path) -> None:
    """``InputError`` unless every file of the listing, links followed, lies inside ``root``."""
    inside = root.resolve()
    for row in listing.rows:
        image = row.image.archive if isinstance(row.image, ArrayRow) else row.image
        for path in filter(None, (image, row.mask)):
            if not _resolved(path).is_relative_to(inside):
                raise InputError(f"{clean(path)!r} lies outside the data root {root}; move it inside or widen the root")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise InputError(f"{clean(path)!r} cannot be followed ({error}); correct the link or name") from error


def tagged(listing: Listing, tag: str) -> Listing:
    """The listing with a tag as part of source, group and scope, for joining several data sets: each knows its own people only."""
    rows = [
        replace(
            row,
            source=f"{tag}:{row.source}",
            group=f"{tag}:{row.group}" if row.group else "",
            scope=":".join(filter(None, (tag, row.scope))),
            data_set=tag,
        )
        for row in listing.rows
    ]
    return Listing(rows, listing.skipped, [f"{tag}: {note}" for note in listing.notes])


def joined(listings: Iterable[Listing]) -> Listing:
    """Several listings as one."""
    total = Listing([])
    for listing in listings:
        total.rows.extend(listing.rows)
        total.skipped.update(listing.skipped)
        total.notes.extend(listing.notes)
    return total
