"""Audit one decision: what carried it, what flips it, and what a single image cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.jobs.audit import check_seed, data_for, unseen
from nas.jobs.models import resolve_model
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from nas.data.preprocessing import Preprocessing, Window
    from nas.inquisitor.decision import Explanation

_NO_LUNGS = "what the model makes of a crop to its lungs: none were found, and the image is used whole"


def audit_image(
    model: str | Path,
    image: Path,
    data: str | Path | Sequence[str | Path] | None = None,
    *,
    mask: Path | None = None,
    classes: Sequence[str] | None = None,
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
        classes: what to make of these data's labels; none: the model's own classes.
        mask: the image's lung mask as a picture, lungs brighter; none: the shipped segmenter makes one if it trusts itself.
        out: where pictures go.

    Raises:
        InputError: no such model or image, a mask that no lungs could have, or no data to compare with.
    """
    from nas.data.dataset import image_hash
    from nas.data.masking import with_masks
    from nas.data.preprocessing import open_image
    from nas.data.segmenter import segment
    from nas.engine.context import resolve_device
    from nas.inquisitor.decision import explain_decision

    check_seed(seed)
    loaded = resolve_model(str(model), model_spec=model_spec, weights=weights)
    dataset = data_for(loaded, model, data, data_root, classes=classes)
    rows = unseen(dataset, loaded.training_hashes)
    how = loaded.preprocessing
    picture = open_image(image)
    window = how.window(picture)
    pixels = how.pixels(picture, window)[None]
    rows = rows[~(dataset.images[rows] == pixels).all(axis=(1, 2, 3))]  # the image itself is no donor
    if len(rows) == 0:
        raise InputError(f"no other image to compare {image} with; add --data SPEC")
    dataset = with_masks(dataset, rows)
    lungs: NDArray[np.bool_] | None
    if mask is not None:
        lungs = _lungs(mask, picture, how, window)
    else:
        masks, ok, _ = segment(pixels[None])
        lungs = masks[0, 0] if ok[0] else None
    where = resolve_device(device)
    found = explain_decision(
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
    unsaid = (*found.unsaid, *([_NO_LUNGS] if window.no_lungs else []), *_not_shown(picture, pixels))
    return replace(found, trained_on=image_hash(pixels) in loaded.training_hashes, unsaid=unsaid)


def _not_shown(image: Image.Image, pixels: NDArray[np.uint8]) -> list[str]:
    """What the decision cannot be about, since the image, or what was made of it (1, s, s), does not show it."""
    found = []
    if min(image.size) < pixels.shape[-1]:
        found.append(
            f"what finer detail would do: the image has {image.width} × {image.height} pixels, and was enlarged to {pixels.shape[-1]}"
        )
    if pixels.min() == pixels.max():
        found.append("what the model makes of a chest: the image is of one grey value")
    return found


def _lungs(mask: Path, image: Image.Image, how: Preprocessing, window: Window) -> NDArray[np.bool_]:
    """An image's mask, cropped and resized as the image is, bool (s, s)."""
    from nas.data.decode import UnreadableError, bombs_are_errors, read_mask
    from nas.inquisitor.gates import usable_masks

    try:
        with bombs_are_errors():
            lungs = how.mask(read_mask(mask, image.size)[0], window)
    except UnreadableError as error:
        raise InputError(f"cannot read mask {mask}: {error}; give a picture whose lungs are brighter than the rest") from error
    if not usable_masks(lungs[None], np.ones(1, bool))[0][0]:
        raise InputError(
            f"mask {mask} covers {lungs.mean():.0%} of the image, and lungs cover 3 to 70 %; give their mask, or none"
        )
    return lungs
