"""Rows and their pixels become a data set: columns, groups, and an account of what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data import cache as store
from nas.data.dataset import Dataset
from nas.data.dicom import NO_DECODER, REMEDY
from nas.data.grouping import group_rows, strings
from nas.data.listing import Listing, Row, clean, normal_form, split_name
from search_spaces.errors import InputError

FEW_UNREADABLE = 3
UNREADABLE_SHARE = 0.1


def assemble(
    listing: Listing,
    rows: list[Row],
    decoded: store.Decoded,
    names: tuple[str, ...],
    index: Mapping[str, int],
    *,
    lenient: bool = False,
) -> Dataset:
    """The data set of the rows that could be decoded.

    Args:
        listing: what the readers skipped and noted; what decoding adds is noted there too.
        rows: the selected rows, in the order they were decoded in.
        index: label in normal form → class.
        lenient: any number of unreadable images is let pass, as long as one can be read.

    Raises:
        InputError: too many unreadable images (more than 3 and more than a tenth, or half of them).
    """
    _account(listing, decoded, rows, lenient)
    kept = [rows[i] for i in decoded.rows["row"]]
    group, cluster, notes = group_rows(kept, decoded)
    states = decoded.rows["mask"]
    labels = np.array([index[normal_form(row.label)] for row in kept], dtype=np.int64)
    data = Dataset(
        images=decoded.images,
        labels=labels,
        classes=names,
        packed_masks=decoded.packed_masks,
        has_mask=(states == store.MASK_FITS) | (states == store.MASK_RESIZED),
        group=group,
        patient=strings(row.person for row in kept),
        source=strings(row.source for row in kept),
        view=strings(row.view for row in kept),
        file=strings(row.file or clean(row.image) for row in kept),
        split=strings(split_name(row.split, row.file) for row in kept),
        native_size=_native_sizes(kept, decoded),
        metadata={**_metadata(kept), "duplicate_cluster": cluster, "data_set": strings(row.data_set for row in kept)},
        skipped=dict(listing.skipped),
        notes=(*listing.notes, *_mask_notes(states), *lung_notes(decoded.rows["no_lungs"], labels, names), *notes),
    )
    data.__dict__["image_hashes"] = decoded.rows["pixels"].astype(
        np.str_
    )  # known from decoding; hashing again would read all pixels
    return data


def _account(listing: Listing, decoded: store.Decoded, rows: list[Row], lenient: bool) -> None:
    """Count and list unreadable files; too many are an error."""
    reasons = [reason for _, reason in decoded.unreadable]
    if not reasons:
        return
    listing.skipped.update(Counter(f"unreadable: {reason}" for reason in reasons))
    bad = [rows[i] for i in np.setdiff1d(np.arange(len(rows)), decoded.rows["row"])]
    remedy = REMEDY if NO_DECODER in reasons else ""
    allowed = max(FEW_UNREADABLE, int(UNREADABLE_SHARE * len(rows)))
    if len(bad) == len(rows) or (not lenient and (len(bad) > allowed or 2 * len(bad) >= len(rows))):
        raise InputError(
            f"{len(bad)} of {len(rows)} images cannot be read, more than the {allowed} that are let pass; "
            f"{remedy or 'repair or remove them'}: {_shown(map(_findable, bad), reasons)}"
        )
    left_out = _shown((row.file or str(row.image) for row in bad), reasons)
    listing.notes.append(
        f"{len(bad)} of {len(rows)} images could not be read and were left out: {left_out}" + (f"; {remedy}" if remedy else "")
    )


def _shown(names: Iterable[str], reasons: list[str]) -> str:
    some = islice(zip(names, reasons, strict=True), 10)
    return "; ".join(f"{clean(name)} ({reason})" for name, reason in some) + ("; …" if len(reasons) > 10 else "")


def _findable(row: Row) -> str:
    """The row's name, or its path where the name is another, as a DICOM file's is: for the terminal, not for any record."""
    anonymous = isinstance(row.image, Path) and not str(row.image).endswith(row.file)
    return str(row.image) if anonymous or not row.file else row.file


def _mask_notes(states: NDArray[np.uint8]) -> list[str]:
    words = {
        store.MASK_RESIZED: "masks had another size than their image and were resized (nearest neighbour)",
        store.MASK_UNREADABLE: "masks could not be read; their images count as without mask",
        store.MASK_EMPTY: "masks are empty; their images count as without mask",
        store.MASK_UNAVAILABLE: f"masks could not be read here (no memory, or no decoder: {REMEDY}); their images count as without mask",
    }
    return [f"{int((states == state).sum())} {text}" for state, text in words.items() if (states == state).any()]


def lung_notes(no_lungs: NDArray[np.bool_], labels: NDArray[np.int64], classes: tuple[str, ...]) -> list[str]:
    """What a crop to the lungs has to say: in how many images of each class it found none. Whole images are a cue themselves."""
    if not no_lungs.any():
        return []
    counts = np.bincount(labels[no_lungs], minlength=len(classes))
    told = ", ".join(f"{clean(name)} {count}" for name, count in zip(classes, counts, strict=True))
    return [f"the crop to the lungs found none in {no_lungs.sum()} of {len(no_lungs)} images ({told}): they are used whole"]


def _native_sizes(rows: list[Row], decoded: store.Decoded) -> NDArray[np.int64]:
    """Height and width as the data set states them, else of the file."""
    sizes = np.stack([decoded.rows["height"], decoded.rows["width"]], axis=1).astype(np.int64)
    for i, row in enumerate(rows):
        if row.native_size is not None:
            sizes[i] = row.native_size
    return sizes


def _metadata(rows: list[Row]) -> dict[str, NDArray]:
    """Further columns as object arrays of text (fixed-width text would cost gigabytes for long notes)."""
    names = list(dict.fromkeys(name for row in rows for name in row.metadata))
    return {name: np.array([row.metadata.get(name, "") for row in rows], dtype=object) for name in names}
