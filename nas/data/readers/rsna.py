"""``rsna:DIR``: the RSNA Pneumonia Detection Challenge; DICOM files (or PNG copies), labels by patient.

Class ``Normal`` is ``normal``, ``Lung Opacity`` is ``pneumonia`` (as COVIDx maps it), the rest ``not_normal``; without the detailed class
file, Target 1 is ``pneumonia`` and 0 ``no_pneumonia``. Boxes are kept as metadata, ``x,y,width,height;…``.
"""

from __future__ import annotations

import os
from pathlib import Path

from nas.data.listing import Listing, Row, resolve
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
from nas.data.readers.layout import descend, required
from search_spaces.errors import InputError

TARGETS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
_NAMES = {"normal": "normal", "lung opacity": "pneumonia", "no lung opacity / not normal": "not_normal"}
_SUFFIXES = (".dcm", ".png", ".jpg")


def _fits(path: Path) -> bool:
    return (path / TARGETS).is_file()


def recognise(path: Path) -> str:
    """Its file of labels."""
    return f"RSNA Pneumonia Detection Challenge ({TARGETS})" if descend(path, _fits, 1) else ""


@register_reader("rsna", "RSNA Pneumonia Detection Challenge (DICOM; extra 'dicom')", recognise)
def read(path: Path) -> Listing:
    """One row a patient; both tables list patients several times."""
    base = required(path, descend(path, _fits, 1), f"{TARGETS} and stage_2_train_images/")
    header, rows = read_csv(base / TARGETS)
    _need(base / TARGETS, header, ("patientid", "target"))
    targets: dict[str, str] = {}
    boxes: dict[str, list[str]] = {}
    for _, cells in rows:
        patient = cells["patientid"]
        targets[patient] = cells["target"]
        if cells["target"] == "1":
            boxes.setdefault(patient, []).append(",".join(cells.get(k, "") for k in ("x", "y", "width", "height")))
    named = _classes(base / CLASSES)
    listing = Listing([])
    for patient, target in targets.items():
        label = named.get(patient, "") if named else ("pneumonia" if target == "1" else "no_pneumonia")
        image = _image(base / "stage_2_train_images", patient)
        if not label or image is None:
            listing.skipped["patient without class" if not label else "file name leaves the data set"] += 1
            continue
        boxed = {"boxes": ";".join(boxes.get(patient, []))}
        listing.rows.append(Row(image, label, patient=patient, source="rsna", file=image.name, metadata=boxed))
    if not listing.rows:
        raise InputError(f"{base / TARGETS} lists no patient with a class; download it again")
    return listing


def _classes(path: Path) -> dict[str, str]:
    """Patient → class of the detailed file; empty without it."""
    if not path.is_file():
        return {}
    header, rows = read_csv(path)
    _need(path, header, ("patientid", "class"))
    return {cells["patientid"]: _NAMES.get(cells["class"].lower(), "") for _, cells in rows}


def _need(path: Path, header: list[str], columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in header:
            raise InputError(f"{path} has no column {column!r}; its columns: {', '.join(header)[:200]}")


def _image(folder: Path, patient: str) -> Path | None:
    """The patient's file: DICOM, or a converted copy (the DICOM's path when neither is there: it will count as missing)."""
    paths = [resolve(folder, f"{patient}{suffix}", free=False) for suffix in _SUFFIXES]
    return next((path for path in paths if path is not None and os.path.isfile(path)), paths[0])
