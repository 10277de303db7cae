"""Rows and their pixels become a data set: columns, groups, and an account of what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nas.data import cache as store
from nas.data.dataset import Dataset
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
    _account(listing, decoded, len(rows), lenient)
    kept = [rows[i] for i in decoded.rows["row"]]
    group, cluster, notes = group_rows(kept, decoded)
    states = decoded.rows["mask"]
    data = Dataset(
        images=decoded.images,
        labels=np.array([index[normal_form(row.label)] for row in kept], dtype=np.int64),
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
        metadata={**_metadata(kept), "duplicate_cluster": cluster},
        skipped=dict(listing.skipped),
        notes=(*listing.notes, *_mask_notes(states), *notes),
    )
    data.__dict__["image_hashes"] = decoded.rows["pixels"].astype(
        np.str_
    )  # known from decoding; hashing again would read all pixels
    return data


def _account(listing: Listing, decoded: store.Decoded, rows: int, lenient: bool) -> None:
    """Count and list unreadable files; too many are an error."""
    bad = decoded.unreadable
    if not bad:
        return
    listing.skipped.update(Counter(f"unreadable: {reason}" for _, reason in bad))
    shown = "; ".join(f"{clean(file)} ({reason})" for file, reason in bad[:10]) + ("; …" if len(bad) > 10 else "")
    allowed = max(FEW_UNREADABLE, int(UNREADABLE_SHARE * rows))
    if len(bad) == rows or (not lenient and (len(bad) > allowed or 2 * len(bad) >= rows)):
        raise InputError(
            f"{len(bad)} of {rows} images cannot be read, more than the {allowed} that are let pass; repair or remove them: {shown}"
        )
    listing.notes.append(f"{len(bad)} of {rows} images could not be read and were left out: {shown}")


def _mask_notes(states: NDArray[np.uint8]) -> list[str]:
    words = {
        store.MASK_RESIZED: "masks had another size than their image and were resized (nearest neighbour)",
        store.MASK_UNREADABLE: "masks could not be read; their images count as without mask",
        store.MASK_EMPTY: "masks are empty; their images count as without mask",
    }
    return [f"{int((states == state).sum())} {text}" for state, text in words.items() if (states == state).any()]


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
