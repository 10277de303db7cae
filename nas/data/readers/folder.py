"""``folder:DIR``: one folder per class, with or without train / val / test above.

Masks are found where a class folder holds ``images/`` and ``masks/`` with the same file names. Patients are read from the file names of
Kermany's paediatric set (``person12_virus_…``, ``IM-0115-0001``); elsewhere every file is its own patient.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from nas.data.listing import Listing, Row, clean
from nas.data.readers.base import register_reader
from nas.data.readers.layout import IMAGE_SUFFIXES, subfolders
from search_spaces.errors import InputError

_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
           "audit": "audit", "test": "test", "testing": "test"}  # fmt: skip
_PATIENT = re.compile(
    r"(person\d+)_(?:virus|bacteria)|((?:NORMAL\d?-)?IM-\d+)-|((?:VIRUS|BACTERIA|NORMAL)-\d+)-", re.IGNORECASE
)
_PARTS = ("images", "masks")


def recognise(path: Path) -> str:
    """At least one class folder with an image in it."""
    if not path.is_dir():
        return ""
    splits, classes = _layout(path)
    names = sorted({folder.name for _, folder in classes if next(images_below(folder), None) is not None})
    if not names:
        return ""
    shown = ", ".join(map(clean, names[:6])) + (", …" if len(names) > 6 else "")
    return f"class folders ({shown})" + (f" under {', '.join(splits)}" if splits else "")


@register_reader("folder", "class folders, with or without train/val/test above them", recognise)
def read(path: Path) -> Listing:
    """Rows of every image below the class folders, in order of path."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; give the folder that holds the class folders")
    splits, classes = _layout(path)
    listing = Listing([])
    for split, folder in classes:
        _read_class(listing, path, split, folder)
    for entry in sorted(path.iterdir()):
        if entry.is_file():
            listing.skipped[_why_not(entry)] += 1
    if not listing.rows:
        found = ", ".join(f"{count} × {reason}" for reason, count in listing.skipped.most_common(5)) or "nothing"
        raise InputError(f"{path} holds no image in class folders (found: {found}); lay it out as DIR/CLASS/IMAGE.png")
    if splits:
        listing.notes.append(f"the folder's own splits are kept: {', '.join(splits)}")
    return listing


def _layout(path: Path) -> tuple[list[str], list[tuple[str, Path]]]:
    """Names of the split folders, if any, and (split, class folder) pairs."""
    folders = subfolders(path)
    splits = [folder for folder in folders if folder.name.lower() in _SPLITS and subfolders(folder)]
    if not splits:
        return [], [("", folder) for folder in folders]
    pairs = [(_SPLITS[split.name.lower()], folder) for split in splits for folder in subfolders(split)]
    return [split.name for split in splits], pairs


def _read_class(listing: Listing, base: Path, split: str, folder: Path) -> None:
    inside = {entry.name.lower(): entry for entry in subfolders(folder)}
    paired = all(name in inside for name in _PARTS)
    start = inside["images"] if paired else folder
    masks = (
        {mask.relative_to(inside["masks"]).with_suffix(""): mask for mask in images_below(inside["masks"])} if paired else {}
    )
    for image in images_below(start, listing):
        listing.rows.append(
            Row(
                image=image,
                label=clean(folder.name),
                mask=masks.get(image.relative_to(start).with_suffix("")),
                patient=patient_of(image.name, split),
                source=clean(base.resolve().name),
                split=split,
                file=clean(image.relative_to(base)),
            )
        )


def patient_of(name: str, split: str) -> str:
    """The patient that a Kermany file name states, else "" (numbers start anew in every split, so the split is part of it)."""
    match = _PATIENT.match(name)
    return "/".join(filter(None, (split, next(filter(None, match.groups())).lower()))) if match else ""


def images_below(folder: Path, listing: Listing | None = None) -> Iterator[Path]:
    """Image files below a folder in sorted order, linked folders not followed; others are counted in the listing."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(directory, name)
            elif listing is not None:
                listing.skipped[_why_not(Path(name))] += 1


def _why_not(path: Path) -> str:
    suffix = clean(path.suffix.lower())[:12]
    if suffix in IMAGE_SUFFIXES:
        return "image outside the class folders"
    return f"not an image ({suffix or 'no extension'})"
