"""``dicom:DIR``: a tree of DICOM radiographs, labelled by a ``labels.csv`` (columns file, label) at its top or by class folders.

Nothing that identifies a person leaves this file: patients become numbers, files become hashes of their unique identifier, and no name,
date, institution or accession number is read. Burned-in annotation is noted where the files declare it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.data.decode import UnreadableError, bombs_are_errors
from nas.data.dicom import header, library
from nas.data.listing import Listing, Row, clean, resolve
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
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
    """A DICOM file among the first files of the tree."""
    if not path.is_dir():
        return ""
    for count, file in enumerate(_files(path)):
        if is_dicom(file):
            return "a tree of DICOM files" + (" with labels.csv" if (path / "labels.csv").is_file() else " in class folders")
        if count >= _SNIFFED:
            break
    return ""


@register_reader("dicom", "a tree of DICOM radiographs with labels.csv or class folders (extra 'dicom')", recognise)
def read(path: Path) -> Listing:
    """Rows of all radiographs; other modalities and files of several frames are counted and left out."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; give the top of the DICOM tree")
    library()
    listing = Listing([])
    patients: dict[str, str] = {}
    burned = 0
    for file, label in _labelled(path, listing):
        tags = _tags(file, listing)
        if tags is None:
            continue
        reason = _left_out(tags)
        if reason:
            listing.skipped[reason] += 1
            continue
        burned += str(tags.get("BurnedInAnnotation", "")).upper() == "YES"
        listing.rows.append(_row(file, label, tags, patients))
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


def _labelled(path: Path, listing: Listing) -> Iterator[tuple[Path, str]]:
    """Pairs of file and label, from labels.csv or the first folder below the top."""
    table = path / "labels.csv"
    if not table.is_file():
        for file in _files(path):
            steps = file.relative_to(path).parts
            if len(steps) > 1:
                yield file, clean(steps[0])
            else:
                listing.skipped["file outside the class folders"] += 1
        return
    names, rows = read_csv(table, paths=("file",))
    if "file" not in names or "label" not in names:
        raise InputError(f"{table} needs the columns file and label; its columns: {', '.join(names)[:200]}")
    for _, cells in rows:
        found = resolve(path, cells["file"], free=True)
        if found is not None and cells["label"]:
            yield found, cells["label"]
        else:
            listing.skipped["row without file or label"] += 1


def _files(path: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(directory, name) for name in sorted(names) if not name.startswith(".") and name != "DICOMDIR")


def _left_out(tags: Any) -> str:
    modality = clean(tags.get("Modality", "")).upper()
    if modality not in MODALITIES:
        return f"modality {modality}"
    return "several frames" if int(tags.get("NumberOfFrames") or 1) > 1 else ""


def _row(file: Path, label: str, tags: Any, patients: dict[str, str]) -> Row:
    patient = str(tags.get("PatientID", "") or "")
    if patient:
        patient = patients.setdefault(patient, f"patient {len(patients) + 1}")
    identity = f"{tags.get('SOPInstanceUID', '')}|{file.name}"
    return Row(
        image=file,
        label=label,
        patient=patient,
        source=clean(tags.get("Manufacturer", "")) or "dicom",
        view=clean(tags.get("ViewPosition", "")),
        file=f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.dcm",
        metadata={"burned_in_annotation": clean(tags.get("BurnedInAnnotation", ""))},
    )
