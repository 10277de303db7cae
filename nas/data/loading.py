"""``load``: from data specs to one data set in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data import cache as store
from nas.data.assembly import assemble, lung_notes
from nas.data.dataset import COLUMNS, Dataset, pack_masks
from nas.data.decoding import Progress, decode
from nas.data.listing import Listing, Row, clean, joined, normal_form, pinned, tagged
from nas.data.preprocessing import Preprocessing
from nas.data.selection import select, spelled
from nas.data.specs import Spec, parse
from nas.files import texts
from search_spaces.errors import InputError


def load(
    spec: str | Path | Sequence[str | Path],
    *,
    classes: str | Sequence[str] | None = None,
    image_size: int = 96,
    crop: str = "none",
    cache: Path | str | Literal["auto"] | None = "auto",
    root: Path | str | None = None,
    progress: Progress | None = None,
    lenient: bool = False,
) -> Dataset:
    """Load one data set, or several joined.

    Args:
        spec: ``phantom``, ``phantom:n=600,shortcut=marker@0.8``, ``READER:PATH`` or a bare path; of several, the reader's name becomes
            part of every source, with a number where one reader reads several.
        classes: which labels are learnt, in logit order, ``"covid,pneumonia,normal"``, or merged, ``"abnormal=covid+pneumonia,normal"``;
            all by default, the healthy class first.
        image_size: pixels a side.
        crop: see ``Preprocessing.parse``.
        cache: folder of the decoded cache; ``"auto"`` is the user's cache folder, None decodes into memory.
        root: when given, no file outside it is read.
        progress: called with (images done, images in all) while decoding for the first time.
        lenient: for looking at data only: one class, or many unreadable images, are no error.

    Raises:
        InputError: bad spec, path or class; too many unreadable images; too few classes. One line with the remedy.
    """
    specs = [parse(text) for text in texts(spec)]
    if not specs:
        raise InputError("no data spec is given; write phantom or READER:PATH")
    settings = Preprocessing.parse(crop, image_size)
    folder = store.default_cache() if cache == "auto" else None if cache is None else Path(cache)
    generated = [(one, _generate(one, settings)) for one in specs if one.reader.generate]
    pin = None if root is None else Path(root)
    listings = [(one, _listing(one, pin)) for one in specs if one.reader.read]
    several = len(specs) > 1
    labels = [label for _, data in generated for label in np.array(data.classes)[data.labels].tolist()]
    labels += [row.label for _, listing in listings for row in listing.rows]
    names, index = select(labels, classes)
    if classes is None and not several and generated:  # a generator's own order is part of what it makes
        names = generated[0][1].classes
        index = {normal_form(name): i for i, name in enumerate(names)}
    found = [_relabelled(data, names, index, one.reader.name if several else "") for one, data in generated]
    if listings:
        tags = _tags([one.reader.name for one, _ in listings])
        whole = joined(tagged(listing, tag) if several else listing for tag, (_, listing) in zip(tags, listings, strict=True))
        found.append(_from_listing(whole, names, index, settings, folder, progress, lenient))
    data = found[0] if len(found) == 1 else _concatenated(found)
    notes = tuple(one.recognised for one in specs if one.recognised)
    asked = tuple(one.text for one in specs)
    data = data.changed(
        spec=clean(" + ".join(asked)), specs=asked, notes=notes + data.notes, preprocessing=settings, selection=spelled(names, index)
    )  # fmt: skip
    if not lenient:
        _check_classes(data)
    return data


def _generate(spec: Spec, settings: Preprocessing) -> Dataset:
    assert spec.reader.generate is not None
    data = spec.reader.generate(spec.argument, settings.image_size)
    return data if settings.crop == "none" else _cropped(data, settings)


def _cropped(data: Dataset, settings: Preprocessing) -> Dataset:
    """Generated images as files of these pixels would be read: cropped, with their masks and maps, and scaled back."""

    pictures = [Image.fromarray(image) for image in data.images[:, 0]]
    windows = [settings.window(picture) for picture in pictures]

    def cropped(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pixels = data.unpacked(packed).astype(np.uint8) * np.uint8(255)
        return pack_masks(
            np.stack([settings.mask(Image.fromarray(one), window) for one, window in zip(pixels, windows, strict=True)])
        )

    return replace(
        data,
        images=np.stack([settings.pixels(picture, window) for picture, window in zip(pictures, windows, strict=True)])[:, None],
        packed_masks=cropped(data.packed_masks),
        truth={name: cropped(packed) for name, packed in data.truth.items()},
        notes=(
            *data.notes,
            *lung_notes(np.array([window.no_lungs for window in windows], dtype=np.bool_), data.labels, data.classes),
        ),
    )


def _listing(spec: Spec, root: Path | None) -> Listing:
    assert spec.reader.read is not None
    path = Path(spec.argument)
    if root is not None:
        pinned(Listing([Row(path, "")]), root)
    listing = spec.reader.read(path)
    if root is not None:
        pinned(listing, root)
    return listing


def _tags(names: list[str]) -> list[str]:
    """What tells data sets that are read from disk apart: the reader's name, numbered where several are of one reader.

    Two sets may call their files, sources and patients alike. What is generated needs no number: a phantom of the same seed is the
    same person, in the same hospital.
    """
    return [name if names.count(name) == 1 else f"{name}:{names[: i + 1].count(name)}" for i, name in enumerate(names)]


def _check_classes(data: Dataset) -> None:
    counts = np.bincount(data.labels, minlength=len(data.classes))
    present = [name for name, count in zip(data.classes, counts, strict=True) if count]
    if len(present) < 2:
        raise InputError(
            f"{data.spec} has images of {len(present)} class ({', '.join(present) or 'none'}), but at least 2 are needed; "
            "join a second data set or choose other --classes"
        )


def _relabelled(data: Dataset, names: tuple[str, ...], index: dict[str, int], tag: str) -> Dataset:
    """A generated data set under the selected classes, tagged with its reader's name when it is one of several."""
    target = np.array([index.get(normal_form(name), -1) for name in data.classes], dtype=np.int64)
    labels = target[data.labels]
    if (labels < 0).any():
        dropped = Counter(
            {f"class not selected: {data.classes[c]}": int((data.labels == c).sum()) for c in np.nonzero(target < 0)[0]}
        )
        data = replace(data.subset(np.nonzero(labels >= 0)[0]), skipped={**data.skipped, **dropped})
        labels = labels[labels >= 0]
    data = replace(data, labels=labels, classes=names)
    if tag:
        tags = np.full(len(data), tag)
        data = replace(data, source=np.char.add(f"{tag}:", data.source), group=np.char.add(f"{tag}:", data.group))
        data = replace(data, metadata={**data.metadata, "data_set": tags})
    return data


def _from_listing(
    listing: Listing,
    names: tuple[str, ...],
    index: dict[str, int],
    settings: Preprocessing,
    folder: Path | None,
    progress: Progress | None,
    lenient: bool,
) -> Dataset:
    rows = _selected(listing, index)
    if not rows:
        raise InputError(f"no image of the classes {', '.join(names)} is left; skipped: {_counts(listing.skipped)}")
    return assemble(listing, rows, decode(rows, settings, folder, progress), names, index, lenient=lenient)


def _selected(listing: Listing, index: dict[str, int]) -> list[Row]:
    kept = []
    for row in listing.rows:
        if normal_form(row.label) in index:
            kept.append(row)
        else:
            listing.skipped[f"class not selected: {clean(row.label) or 'no label'}"] += 1
    return kept


def _counts(skipped: Counter[str]) -> str:
    return ", ".join(f"{count} × {reason}" for reason, count in skipped.most_common(6)) or "nothing"


def _concatenated(parts: list[Dataset]) -> Dataset:
    """Data sets of the same classes and image size, one after the other (copies: only generated images come this way)."""
    rows: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}

    def stacked(kind: str) -> dict[str, NDArray]:
        names = dict.fromkeys(name for part in parts for name in getattr(part, kind))
        return {name: np.concatenate([_column(part, kind, name) for part in parts]) for name in names}

    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return replace(
        parts[0],
        **rows,
        metadata=stacked("metadata"),
        truth=stacked("truth"),
        skipped=dict(skipped),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _column(part: Dataset, kind: str, name: str) -> NDArray:
    """A metadata or truth column of one part; where it lacks it, empty text or an empty map."""
    column = getattr(part, kind).get(name)
    if kind == "truth":
        return np.zeros_like(part.packed_masks) if column is None else column
    return np.full(len(part), "", dtype=object) if column is None else column.astype(object)
