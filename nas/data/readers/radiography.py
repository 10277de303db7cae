"""``radiography:DIR``: the COVID-19 Radiography Database, with its lung masks.

``COVID/``, ``Lung_Opacity/``, ``Normal/``, ``Viral Pneumonia/``, each with ``images/`` and ``masks/`` of the same file names (masks are
256 × 256 beside images of 299 × 299); older versions hold the images directly and no masks. There are no patient ids.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.listing import Listing, Row, clean
from nas.data.readers.base import register_reader
from nas.data.readers.folder import images_below
from nas.data.readers.layout import by_name, descend, files_by_name, required

LABELS = {
    "covid": "covid",
    "covid-19": "covid",
    "lung_opacity": "lung_opacity",
    "normal": "normal",
    "viral pneumonia": "viral_pneumonia",
}


def _fits(path: Path) -> bool:
    return "viral pneumonia" in by_name(path) and "normal" in by_name(path)


def recognise(path: Path) -> str:
    """A folder ``Viral Pneumonia`` (with the blank) beside ``Normal``."""
    found = descend(path, _fits)
    return f"COVID-19 Radiography Database ({', '.join(_classes(found))})" if found else ""


@register_reader("radiography", "COVID-19 Radiography Database, with lung masks", recognise)
def read(path: Path) -> Listing:
    """Rows of all four classes; the data set brings no splits."""
    base = required(path, descend(path, _fits), "COVID/, Normal/, Viral Pneumonia/ (and Lung_Opacity/)")
    listing = Listing([])
    for name, folder in _classes(base).items():
        inside = by_name(folder)
        masks = files_by_name([inside["masks"]]) if "masks" in inside else {}
        stems = {mask.rsplit(".", 1)[0].lower(): file for mask, file in masks.items()}
        for image in images_below(inside.get("images", folder), listing, (inside.get("masks"),)):
            row = Row(
                image=image,
                label=LABELS[name],
                mask=stems.get(image.stem.lower()),
                source="radiography",
                file=clean(image.relative_to(base)),
            )
            listing.rows.append(row)
    for name, folder in by_name(base).items():
        others = 0 if name in LABELS else sum(1 for _ in images_below(folder))
        if others:
            listing.skipped[f"folder {clean(folder.name)} is no class"] += others
    listing.notes.append(
        "no patient ids: viral pneumonia shows children, and images overlap other collections; joined sets are de-duplicated by look"
    )
    return listing


def _classes(base: Path) -> dict[str, Path]:
    return {name: folder for name, folder in by_name(base).items() if name in LABELS}
