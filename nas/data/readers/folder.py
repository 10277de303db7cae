"""``folder:DIR``: one folder per class, with or without train / val / test above, and perhaps one folder around it all.

A folder ``masks`` holds masks, at any level: of the images in ``images`` beside it, or else of those beside it, under the same names.
Patients are read from the file names of Kermany's paediatric set (``person12_virus_…``, ``IM-0115-0001``); elsewhere every file is its
own patient. Every file below the folder becomes a row or is counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.data.listing import Listing, Row, clean
from nas.data.readers.base import register_reader
from nas.data.readers.layout import IMAGE_SUFFIXES, by_name, files_by_name, subfolders, walk
from search_spaces.errors import InputError

SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
          "audit": "audit", "test": "test", "testing": "test"}  # fmt: skip
_PATIENT = re.compile(
    r"(person\d+)_(?:virus|bacteria)|((?:NORMAL\d?-)?IM-\d+)-|((?:VIRUS|BACTERIA|NORMAL)-\d+)-", re.IGNORECASE
)


@dataclass(frozen=True)
class _Place:
    """A folder by its name: where its images lie and, if anywhere, the masks of the same names."""

    name: str
    images: Path
    masks: Path | None

    @classmethod
    def of(cls, folder: Path, masks: Path | None = None) -> _Place:
        """A folder; ``masks`` where the folder around it keeps its masks, unless it holds some of its own."""
        inside = by_name(folder)
        if "masks" in inside:
            return cls(folder.name, inside.get("images", folder), inside["masks"])
        return cls(folder.name, folder, masks)

    def below(self) -> list[_Place]:
        """The folders inside, without that of the masks."""
        folders = [folder for folder in subfolders(self.images) if folder != self.masks]
        return [_Place.of(folder, self.masks and self.masks / folder.name) for folder in folders]


def recognise(path: Path) -> str:
    """At least one class folder with an image in it."""
    if not path.is_dir():
        return ""
    _, splits, classes = _layout(_Place.of(path))
    names = sorted({place.name for _, place in classes if next(_images(place), None) is not None})
    if not names:
        return ""
    shown = ", ".join(map(clean, names[:6])) + (", …" if len(names) > 6 else "")
    return f"class folders ({shown})" + (f" under {', '.join(splits)}" if splits else "")


@register_reader("folder", "class folders, with or without train/val/test above them", recognise)
def read(path: Path) -> Listing:
    """Rows of every image below the class folders, in order of path."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; give the folder that holds the class folders")
    top = _Place.of(path)
    inner, splits, classes = _layout(top)
    listing = Listing([])
    for split, place in classes:
        _read_class(listing, path, split, place)
    known = {folder for _, place in classes for folder in (place.images, place.masks)}
    for image in images_below(path, listing, known):
        above = image.relative_to(path).parts[:-1]
        listing.skipped["image outside the class folders" + (f" ({clean(above[0])})" if above else "")] += 1
    if not listing.rows:
        found = ", ".join(f"{count} × {reason}" for reason, count in listing.skipped.most_common(5)) or "nothing"
        raise InputError(f"{path} holds no image in class folders (found: {found}); lay it out as DIR/CLASS/IMAGE.png")
    if inner is not top:
        listing.notes.append(f"the class folders are those in {clean(inner.name)}, the only folder of {clean(path.name)}")
    if splits:
        listing.notes.append(f"the folder's own splits are kept: {', '.join(splits)}")
    return listing


def _layout(top: _Place, depth: int = 2) -> tuple[_Place, list[str], list[tuple[str, _Place]]]:
    """Where the folders of splits or classes are, names of those of splits, if any, and (split, class) pairs.

    Archives unpack into wrapping folders: a lone one, without images of its own, is looked into if it holds splits or several classes.
    """
    places = top.below()
    splits = [place for place in places if place.name.lower() in SPLITS and place.below()]
    if splits:
        pairs = [(SPLITS[split.name.lower()], place) for split in splits for place in split.below()]
        return top, [split.name for split in splits], pairs
    if len(places) == 1 and depth and not files_by_name([places[0].images]):
        found = _layout(places[0], depth - 1)
        if found[1] or len(found[2]) > 1:
            return found
    return top, [], [("", place) for place in places]


def _images(place: _Place, listing: Listing | None = None) -> Iterator[Path]:
    return images_below(place.images, listing, (place.masks,))


def _read_class(listing: Listing, base: Path, split: str, place: _Place) -> None:
    masks = {} if place.masks is None else {_stem(mask, place.masks): mask for mask in images_below(place.masks, listing)}
    alone = set(masks)
    for image in _images(place, listing):
        stem = _stem(image, place.images)
        alone.discard(stem)
        listing.rows.append(
            Row(
                image=image,
                label=clean(place.name),
                mask=masks.get(stem),
                patient=patient_of(image.name, split),
                source=clean(base.resolve().name),
                split=split,
                file=clean(image.relative_to(base)),
            )
        )
    if alone:
        listing.skipped["mask without an image of its name"] += len(alone)


def _stem(file: Path, folder: Path) -> Path:
    return file.relative_to(folder).with_suffix("")


def patient_of(name: str, split: str) -> str:
    """The patient that a Kermany file name states, else "" (numbers start anew in every split, so the split is part of it)."""
    match = _PATIENT.match(name)
    return "/".join(filter(None, (split, next(filter(None, match.groups())).lower()))) if match else ""


def images_below(folder: Path, listing: Listing | None = None, but: Collection[Path | None] = ()) -> Iterator[Path]:
    """Image files below a folder in sorted order, folders of ``but`` left out; what is no image is counted in the listing.

    Linked folders are counted, too, not followed: they may lead anywhere, or in a circle.
    """
    for directory, folders, files in walk(folder):
        seen = [name for name in folders if not name.startswith((".", "__MACOSX")) and Path(directory, name) not in but]
        folders[:] = sorted(name for name in seen if not os.path.islink(os.path.join(directory, name)))
        if listing is not None and len(seen) > len(folders):
            listing.skipped["linked folder, not followed"] += len(seen) - len(folders)
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
