"""Mask morphology on batches: bool (n, 1, H, W) in, bool (n, 1, H, W) out.

Margins are shares of the image's side, so that an edit means the same at 48 and at 224 pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from search_spaces.errors import InputError

LUNG_MARGIN = 0.03
"""How far m⁺ (the dilated lungs) reaches beyond the mask, in shares of the side."""


def as_masks(masks: Tensor, images: Tensor) -> Tensor:
    """Masks as bool (n, 1, H, W) on the images' device; (n, H, W) is accepted, any other shape is an ``InputError``."""
    shaped = masks[:, None] if masks.ndim == 3 else masks
    if shaped.ndim != 4 or shaped.shape[1] != 1 or shaped.shape[2:] != images.shape[2:] or len(shaped) != len(images):
        raise InputError(
            f"masks must be (n, 1, H, W) or (n, H, W) for images {tuple(images.shape)}, but got {tuple(masks.shape)}"
        )
    return shaped.to(device=images.device, dtype=torch.bool)


def pixels(share: float, images: Tensor) -> int:
    """A share of the side in whole pixels, at least 1 for any positive share."""
    return max(round(share * images.shape[-1]), 1) if share > 0 else 0


def dilate(masks: Tensor, radius: int) -> Tensor:
    """Grow by ``radius`` pixels (an octagon: a square step and a diamond step alternate)."""
    grown = masks.to(torch.bool)  # shifted copies of bytes: a tenth of the time of max-pooling floats on a CPU
    for step in range(radius):
        across = _spread(grown, 3)
        grown = across | _spread(grown, 2) if step % 2 else _spread(across, 2)
    return grown


def _spread(masks: Tensor, dimension: int) -> Tensor:
    """Grow by one pixel in both directions of one dimension."""
    size = masks.shape[dimension]
    grown = masks.clone()
    grown.narrow(dimension, 1, size - 1).logical_or_(masks.narrow(dimension, 0, size - 1))
    grown.narrow(dimension, 0, size - 1).logical_or_(masks.narrow(dimension, 1, size - 1))
    return grown


def erode(masks: Tensor, radius: int) -> Tensor:
    """Shrink by ``radius`` pixels; the picture's border does not eat into the mask."""
    return ~dilate(~masks, radius)


def ring(masks: Tensor, width: int, gap: int = 0) -> Tensor:
    """The band of ``width`` pixels around a mask, ``gap`` pixels away from it."""
    inner = dilate(masks, gap)
    return dilate(inner, width) & ~inner


def bounds(masks: Tensor) -> Tensor:
    """Bounding boxes, int64 (n, 4): top, bottom, left, right, the ends exclusive; all zero for an empty mask."""
    rows, columns = masks.any(3)[:, 0], masks.any(2)[:, 0]
    height, width = rows.shape[1], columns.shape[1]
    top, left = rows.to(torch.uint8).argmax(1), columns.to(torch.uint8).argmax(1)
    bottom = height - rows.flip(1).to(torch.uint8).argmax(1)
    right = width - columns.flip(1).to(torch.uint8).argmax(1)
    return torch.stack([top, bottom, left, right], 1) * rows.any(1)[:, None]


def boxes(limits: Tensor, height: int, width: int) -> Tensor:
    """Filled rectangles, bool (n, 1, height, width), from ``bounds``-like limits (n, 4)."""
    rows = torch.arange(height, device=limits.device)[None, :, None]
    columns = torch.arange(width, device=limits.device)[None, None, :]
    top, bottom, left, right = (limits[:, k, None, None] for k in range(4))
    return ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))[:, None]


def bounding_box(masks: Tensor, margin: int = 0) -> Tensor:
    """The filled bounding box of each mask, grown by ``margin`` pixels; empty stays empty."""
    limits = bounds(masks)
    grown = limits + torch.tensor([-margin, margin, -margin, margin], device=masks.device)
    return boxes(grown, *masks.shape[2:]) & masks.flatten(1).any(1)[:, None, None, None]


def split_sides(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The part of each mask left and right of its own middle column (of its bounding box)."""
    limits = bounds(masks)
    middle = ((limits[:, 2] + limits[:, 3]) / 2)[:, None, None, None]
    columns = torch.arange(masks.shape[3], device=masks.device)[None, None, None, :]
    return masks & (columns < middle), masks & (columns >= middle)


def lung_region(masks: Tensor, *, margin: float = LUNG_MARGIN, box: bool = False) -> Tensor:
    """m⁺, the lungs grown by ``margin`` (a share of the side), or b⁺, the bounding box of that (the strict version)."""
    grown = dilate(masks, pixels(margin, masks))
    return bounding_box(grown) if box else grown


def feathered(masks: Tensor, width: int) -> Tensor:
    """Soft weights in [0, 1], float32: 1 deep inside, falling to 0 across ``width`` pixels outside the mask."""
    if width < 2:
        return masks.to(torch.float32)
    radius = width // 2
    soft = dilate(masks, width - radius).to(torch.float32)
    soft = functional.avg_pool2d(soft, 2 * radius + 1, 1, radius, count_include_pad=False)
    return torch.where(masks, torch.ones_like(soft), soft)
