"""Lung masks for images that bring none: from the shipped segmenter, its failures counted, never guessed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nas.data.dataset import Dataset, Indices, pack_masks


def with_masks(dataset: Dataset, rows: Indices | None = None) -> Dataset:
    """The data set with masks segmented for those of ``rows`` (all by default) that have none.

    What the segmenter does not trust itself stays without a mask: the audit excludes and counts it. A note says how many masks
    were made and why the others failed; masks that the data brought are kept as they are.
    """
    wanted = np.arange(len(dataset)) if rows is None else np.asarray(rows)
    missing = np.sort(wanted[~dataset.has_mask[wanted]])
    if len(missing) == 0:
        return dataset
    from nas.data.segmenter import segment

    masks, ok, reasons = segment(dataset.images[missing])
    packed, has_mask = np.array(dataset.packed_masks), dataset.has_mask.copy()
    packed[missing[ok]] = pack_masks(masks[ok])
    has_mask[missing[ok]] = True
    failed = Counter(reason for reason in reasons if reason)
    why = (
        ""
        if not failed
        else f"; {len(missing) - int(ok.sum())} not trusted: {', '.join(f'{n} {reason}' for reason, n in failed.items())}"
    )
    note = f"lung masks of {int(ok.sum())} images come from the shipped segmenter, not from a person{why}"
    return dataset.changed(packed_masks=packed, has_mask=has_mask, notes=(*dataset.notes, note))
