"""Controls: small models that may not look at the lungs. Each sets the score that a network must beat before its own means anything.

``border``: only the outer tenth of the picture; ``outline``: only the shape of the lungs, no grey value; ``thumbnail``: the whole picture
at 16 × 16, which shows no lesion; ``features``: the seven trivial features. Each is a regularised logistic model (``features``: boosted
trees) fitted on one part and scored on another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.dataset import Dataset, Indices
from nas.data.features import Floats, logistic, score, trivial_control
from nas.records import Metric
from search_spaces.errors import InputError

BORDER = 0.1
_SIDE = 24


def border_only(images: NDArray[np.uint8], share: float = BORDER) -> NDArray[np.uint8]:
    """Images (n, 1, H, W) with everything but the outer ``share`` of each side black; a copy."""
    height, width = images.shape[2:]
    top, left = max(1, round(share * height)), max(1, round(share * width))
    found = images.copy()
    found[:, :, top : height - top, left : width - left] = 0
    return found


def outline_only(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Lung masks (n, H, W) as images (n, 1, H, W), lungs white: what the shape alone tells."""
    return (masks[:, None] * np.uint8(255)).astype(np.uint8)


def _small(images: NDArray[np.uint8], side: int) -> Floats:
    """Area-averaged pixels, float64 (n, side²) in 0..1."""
    rows = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX)).reshape(-1) for image in images[:, 0]]
    return np.array(rows, dtype=np.float64).reshape(len(images), side * side) / 255


def _border_pixels(dataset: Dataset, indices: Indices) -> Floats:
    keep = border_only(np.full((1, 1, _SIDE, _SIDE), 255, np.uint8)).reshape(-1) > 0
    return _small(dataset.images[indices], _SIDE)[:, keep]


def _outline_pixels(dataset: Dataset, indices: Indices) -> Floats:
    return _small(outline_only(dataset.masks(indices)), _SIDE)


def _thumbnail_pixels(dataset: Dataset, indices: Indices) -> Floats:
    return _small(dataset.images[indices], 16)


_PIXELS: dict[str, tuple[str, Callable[[Dataset, Indices], Floats]]] = {
    "border": ("the outer tenth of the picture only", _border_pixels),
    "outline": ("the shape of the lung masks only", _outline_pixels),
    "thumbnail": ("the whole picture at 16 × 16", _thumbnail_pixels),
}


def control_names() -> list[str]:
    """All controls."""
    return ["features", *_PIXELS]


def control(name: str, dataset: Dataset, train_idx: Indices, test_idx: Indices, *, part: str = "test") -> tuple[Metric, ...]:
    """Balanced accuracy and macro AUROC of one control, fitted on ``train_idx``, scored on ``test_idx``.

    ``outline`` uses the images that have a mask; fewer than two classes among them give metrics without a value.

    Raises:
        InputError: an unknown control.
    """
    train, test = np.asarray(train_idx), np.asarray(test_idx)
    if name == "features":
        return trivial_control(dataset, train, test, part=part)
    if name not in _PIXELS:
        raise InputError(f"unknown control {name!r}; known: {', '.join(control_names())}")
    title, pixels = _PIXELS[name]
    if name == "outline":
        train, test = train[dataset.has_mask[train]], test[dataset.has_mask[test]]
    if min((len(np.unique(dataset.labels[i])) for i in (train, test)), default=0) < 2:
        note = "too few images with masks" if name == "outline" else "fewer than two classes"
        groups = len(np.unique(dataset.group[test]))
        return tuple(
            Metric(name=metric, value=None, n=len(test), groups=groups, part=part, note=f"control: {title}; {note}")
            for metric in ("balanced_accuracy", "auroc")
        )
    found = logistic(pixels(dataset, train), dataset.labels[train], pixels(dataset, test), len(dataset.classes))
    return score("", found, dataset, test, part, f"control: {title}")
