"""Audit one decision: what carried it, what flips it, and what a single image cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.jobs.audit import data_for, unseen
from nas.jobs.models import resolve_model
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.inquisitor.decision import Explanation


def audit_image(
    model: str | Path,
    image: Path,
    data: str | Sequence[str] | None = None,
    *,
    mask: Path | None = None,
    model_spec: Path | None = None,
    weights: Path | None = None,
    data_root: str | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> Explanation:
    """Question a model about one image file.

    Args:
        data: other images, as donors and as the spread that log-odds are measured in; none, for a run: its own audit images.
        mask: the image's lung mask as a picture; none: the shipped segmenter makes one if it trusts itself.
        out: where pictures go.

    Raises:
        InputError: no such model or image, or no data to compare with.
    """
    from nas.data import prepare
    from nas.data.masking import with_masks
    from nas.data.segmenter import segment
    from nas.engine.context import resolve_device
    from nas.inquisitor.decision import explain_decision

    loaded = resolve_model(str(model), model_spec=model_spec, weights=weights)
    dataset = data_for(loaded, model, data, data_root)
    rows = unseen(dataset, loaded.training_hashes)
    pixels = prepare(image, loaded.preprocessing)
    rows = rows[~(dataset.images[rows] == pixels).all(axis=(1, 2, 3))]  # the image itself is no donor
    if len(rows) == 0:
        raise InputError(f"no other image to compare {image} with; add --data SPEC")
    dataset = with_masks(dataset, rows)
    if mask is not None:
        lungs = prepare(mask, loaded.preprocessing)[0] >= 128
    else:
        found, ok, _ = segment(pixels[None])
        lungs = found[0, 0] if ok[0] else None
    where = resolve_device(device)
    return explain_decision(
        loaded.model.to(where),
        pixels,
        lungs,
        dataset,
        np.sort(rows),
        classes=loaded.classes,
        seed=seed,
        device=where,
        pictures_dir=out,
    )
