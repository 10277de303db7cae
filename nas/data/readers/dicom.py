"""``dicom:DIR``: a tree of DICOM radiographs, labelled by a table at its top, ``labels.csv`` or ``metadata.csv``, or by class folders,
with or without train / val / test above them.

The table is one of the reader ``table``; patient, source and view are the files' own where it names none. Where no patient is known, as
in anonymised files, the images of one study are a group. Nothing that identifies a person leaves this file: patients and groups become
numbers, files become hashes of their unique identifier, other columns are not kept, and no name, date, institution or accession number
is read. Burned-in annotation is noted where the files declare it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from nas.data.decode import UnreadableError, bombs_are_errors
from nas.data.dicom import header, library
from nas.data.listing import Listing, Row, clean
from nas.data.readers.base import register_reader
from nas.data.readers.folder import SPLITS
from nas.data.readers.layout import by_name, subfolders, walk
from nas.data.readers.table import first_files, has_columns, listed
from search_spaces.errors import InputError

MODALITIES = {"CR", "DX", "RG", "XR", ""}
_SNIFFED = 40  # files looked at before a folder counts as not DICOM


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM preamble."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def recognise(path: Path) -> str:
    """A DICOM file among the first files of the tree; or most of those that its table names first, since masks may come before them."""
    if not path.is_dir():
        return ""
    table = _table(path)
    named = first_files(table, _SNIFFED) if table else []
    if any(map(is_dicom, islice(_files(path), _SNIFFED))) or 2 * sum(map(is_dicom, named)) > len(named):
        return f"a tree of DICOM files {f'with {table.name}' if table else 'in class folders'}"
    return ""


@register_reader(
    "dicom", "a tree of DICOM radiographs with labels.csv, metadata.csv or class folders (extra 'dicom')", recognise
)
def read(path: Path) -> Listing:
    """Rows of all radiographs; other modalities and files of several frames are counted and left out."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; give the top of the DICOM tree")
    library()
    listing = Listing([])
    numbers: dict[str, str] = {}
    burned = 0
    for row in _labelled(path, listing):
        assert isinstance(row.image, Path)
        tags = _tags(row.image, listing)
        if tags is None:
            continue
        reason = _left_out(tags)
        if reason:
            listing.skipped[reason] += 1
            continue
        burned += str(tags.get("BurnedInAnnotation", "")).upper() == "YES"
        listing.rows.append(_row(row, row.image, tags, numbers))
    if not listing.rows:
        found = ", ".join(f"{count} × {reason}" for reason, count in listing.skipped.most_common(5)) or "no file"
        raise InputError(
            f"{path} holds no labelled DICOM radiograph (found: {found}); lay it out as DIR/CLASS/FILE.dcm or add labels.csv"
        )
    if burned:
        listing.notes.append(f"{burned} files declare burned-in annotation: text in their pixels may identify patients")
    return listing


def _tags(file: Path, listing: Listing) -> Any:
    """The header of a file, or None, counted."""
    if not os.path.isfile(file):  # False, not an error, for a name that no disk can hold
        listing.skipped["missing file"] += 1
        return None
    try:
        with bombs_are_errors():
            return header(file)
    except UnreadableError:
        listing.skipped["not DICOM, or damaged"] += 1
        return None


def _table(path: Path) -> Path | None:
    """The table of labels at the top."""
    if (path / "labels.csv").is_file():
        return path / "labels.csv"
    return path / "metadata.csv" if has_columns(path / "metadata.csv") else None


def _labelled(path: Path, listing: Listing) -> Iterator[Row]:
    """Files with what the table says of them, or with the class folder, and perhaps split, that they lie in."""
    table = _table(path)
    if table is not None:
        found = listed(table, "")
        listing.skipped.update(found.skipped)
        yield from found.rows
        return
    splits = {folder.name for name, folder in by_name(path).items() if name in SPLITS and subfolders(folder)}
    if splits:
        listing.notes.append(f"the folder's own splits are kept: {', '.join(sorted(splits))}")
    for file in _files(path):
        *folders, _ = file.relative_to(path).parts
        split = SPLITS[folders.pop(0).lower()] if folders and folders[0] in splits else ""
        if folders and bool(split) == bool(splits):
            yield Row(file, clean(folders[0]), split=split)
        else:
            listing.skipped["file outside the class folders"] += 1


def _files(path: Path) -> Iterator[Path]:
    for directory, folders, names in walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(directory, name) for name in sorted(names) if not name.startswith(".") and name != "DICOMDIR")


def _left_out(tags: Any) -> str:
    modality = clean(tags.get("Modality", "")).upper()
    if modality not in MODALITIES:
        return f"modality {modality}"
    try:
        return "several frames" if int(tags.get("NumberOfFrames") or 1) > 1 else ""
    except (TypeError, ValueError):  # several values, or no number
        return "not DICOM, or damaged"


def _row(row: Row, file: Path, tags: Any, numbers: dict[str, str]) -> Row:
    def number(kind: str, identity: str) -> str:
        return numbers.setdefault(f"{kind} {identity}", f"{kind} {len(numbers) + 1}") if identity else ""

    identity = f"{tags.get('SOPInstanceUID', '')}|{file.name}"
    patient = row.patient or str(tags.get("PatientID", "") or "")
    group = row.group or ("" if patient else str(tags.get("StudyInstanceUID", "") or ""))  # one visit is one person
    return replace(
        row,
        patient=number("patient", patient),
        group=number("group", group),
        source=row.source or clean(tags.get("Manufacturer", "")) or "dicom",
        view=row.view or clean(tags.get("ViewPosition", "")),
        file=f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.dcm",
        metadata={"burned_in_annotation": clean(tags.get("BurnedInAnnotation", ""))},
    )
