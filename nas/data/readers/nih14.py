"""``nih14:DIR``: NIH ChestX-ray14, whole or in part (only images that are on disk are listed; the rest is counted).

No finding is ``normal``; one finding is the label; of several findings ``pneumonia`` is the label where it is among them, others are left
out and counted, since one image has one label here. All findings are kept as metadata. The official lists give the splits.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.listing import Listing, Row, clean, normal_form
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
from nas.data.readers.layout import by_name, descend, files_by_name, required
from search_spaces.errors import InputError

TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}


def _fits(path: Path) -> bool:
    return any((path / name).is_file() for name in TABLES)


def recognise(path: Path) -> str:
    """Its table of images."""
    return "NIH ChestX-ray14 (Data_Entry_2017)" if descend(path, _fits, 1) else ""


@register_reader("nih14", "NIH ChestX-ray14, whole or some of its image folders", recognise)
def read(path: Path) -> Listing:
    """Rows of the images on disk."""
    base = required(path, descend(path, _fits, 1), f"{TABLES[0]} and images/ or images_001/images/ …")
    table = next(base / name for name in TABLES if (base / name).is_file())
    header, rows = read_csv(table, unique=False)
    missing = [name for name in ("image index", "finding labels", "patient id") if name not in header]
    if missing:
        raise InputError(f"{table} has no column {missing[0]!r}; its columns: {', '.join(header)[:200]}")
    files, splits = _images(base), _splits(base)
    listing = Listing([])
    for _, cells in rows:
        name = cells["image index"]
        label = label_of(cells["finding labels"])
        if name not in files or not label:
            listing.skipped["image not on disk" if name not in files else "several findings"] += 1
            continue
        listing.rows.append(_row(files[name], label, cells, splits.get(name, "")))
    if not listing.rows:
        raise InputError(
            f"{base}: none of the images in {table.name} is in images/ or images_*/images/; unpack at least one folder"
        )
    return listing


def label_of(findings: str) -> str:
    """The class of ``A|B``, "" for several findings without pneumonia."""
    names = [normal_form(name) for name in findings.split("|") if name.strip()]
    if names == ["no_finding"]:
        return "normal"
    return names[0] if len(names) == 1 else "pneumonia" if "pneumonia" in names else ""


def _images(base: Path) -> dict[str, Path]:
    folders = [folder for name, folder in by_name(base).items() if name.startswith("images")]
    return files_by_name(folders + [folder / "images" for folder in folders])


def _splits(base: Path) -> dict[str, str]:
    """File name → split, from the official lists that are there."""
    found = {}
    for name, split in _LISTS.items():
        if (base / name).is_file():
            lines = (base / name).read_text(encoding="utf-8", errors="replace").splitlines()
            found.update({clean(line): split for line in lines})
    return found


def _row(image: Path, label: str, cells: dict[str, str], split: str) -> Row:
    # The header's brackets hold commas, so a CSV reader cuts "OriginalImage[Width,Height]" in two.
    width, height = cells.get("originalimage[width", ""), cells.get("height]", "")
    known = width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and len(width + height) < 12
    return Row(
        image=image,
        label=label,
        patient=cells["patient id"],
        source="nih14",
        view=cells.get("view position", ""),
        split=split,
        file=clean(image.name),
        native_size=(int(height), int(width)) if known and int(width) and int(height) else None,
        metadata={
            "findings": cells["finding labels"],
            "age": cells.get("patient age", ""),
            "sex": cells.get("patient gender", ""),
        },
    )
