"""``covid-qu-ex:DIR``: COVID-QU-Ex with lung masks; where its infection masks are, they are named in the metadata.

``Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/{images,lung masks}`` (doubled names and
blanks are real); the infection part adds ``infection masks`` and is used alone only when the lung part is absent.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.listing import Listing, Row, clean
from nas.data.readers.base import register_reader
from nas.data.readers.folder import images_below
from nas.data.readers.layout import by_name, descend, files_by_name, required

LABELS = {"covid-19": "covid", "non-covid": "non-covid", "normal": "normal"}
_SPLITS = ("train", "val", "test")


def _is_part(path: Path) -> bool:
    """A folder of splits whose class folders hold ``lung masks``."""
    train = by_name(path).get("train")
    return train is not None and any("lung masks" in by_name(folder) for folder in by_name(train).values())


def _is_infection(path: Path) -> bool:
    return _is_part(path) and any("infection masks" in by_name(folder) for folder in by_name(by_name(path)["train"]).values())


def _is_lung(path: Path) -> bool:
    return _is_part(path) and not _is_infection(path)


def recognise(path: Path) -> str:
    """``Train/<class>/lung masks`` somewhere within three folders."""
    found = descend(path, _is_lung, 3) or descend(path, _is_infection, 3)
    return f"COVID-QU-Ex ({clean(found.name)})" if found else ""


@register_reader("covid-qu-ex", "COVID-QU-Ex, with lung masks and, in its infection part, infection masks", recognise)
def read(path: Path) -> Listing:
    """Rows of the three splits, which are kept."""
    infection = descend(path, _is_infection, 3)
    base = required(
        path, descend(path, _is_lung, 3) or infection, "{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/{images,lung masks}"
    )
    listing = Listing([])
    for split in _SPLITS:
        for name, folder in by_name(by_name(base).get(split, base / split)).items():
            if name in LABELS:
                _read_class(listing, base, split, folder, _infections(infection, name))
            else:
                listing.skipped[f"folder {clean(folder.name)} is no class"] += 1
    return listing


def _infections(part: Path | None, label: str) -> dict[str, Path]:
    """Infection masks of a class by file name, from all splits (the two parts are split differently)."""
    if part is None:
        return {}
    classes = [by_name(split).get(label) for split in by_name(part).values()]
    return files_by_name(
        [by_name(folder)["infection masks"] for folder in classes if folder and "infection masks" in by_name(folder)]
    )


def _read_class(listing: Listing, base: Path, split: str, folder: Path, infections: dict[str, Path]) -> None:
    inside = by_name(folder)
    masks = files_by_name([inside["lung masks"]]) if "lung masks" in inside else {}
    for image in images_below(inside.get("images", folder), listing):
        infection = infections.get(image.name)
        row = Row(
            image=image,
            label=LABELS[folder.name.lower()],
            mask=masks.get(image.name),
            source="covid-qu-ex",
            split=split,
            file=clean(image.relative_to(base)),
            metadata={"infection_mask": str(infection or "")},
        )
        listing.rows.append(row)
