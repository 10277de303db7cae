"""Lungs removed, an equal area removed elsewhere, everything but the lungs removed."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from nas.edits.fills import Fill, get_fill
from nas.edits.masks import LUNG_MARGIN, as_masks, lung_region
from nas.edits.randomness import uniform


def remove_lungs(
    images: Tensor,
    masks: Tensor,
    generator: Generator,
    *,
    fill: str | Fill = "ring",
    margin: float = LUNG_MARGIN,
    box: bool = False,
) -> Tensor:
    """Fill the dilated lungs, or with ``box`` their bounding box (no outline is left to read)."""
    return get_fill(fill)(images, lung_region(as_masks(masks, images), margin=margin, box=box), generator)


def only_lungs(
    images: Tensor,
    masks: Tensor,
    generator: Generator,
    *,
    fill: str | Fill = "ring",
    margin: float = LUNG_MARGIN,
) -> Tensor:
    """Fill everything outside the dilated lungs (the ring fill then takes the lungs' own rim as its ring)."""
    return get_fill(fill)(images, ~lung_region(as_masks(masks, images), margin=margin), generator)


def elsewhere(masks: Tensor, generator: Generator, *, margin: float = LUNG_MARGIN, box: bool = False) -> Tensor:
    """A region of the same area as the (dilated or boxed) lungs, outside the dilated lungs, bool (n, 1, H, W).

    Whole rows or columns from a random edge inwards, skipping the lungs: a box of that size that misses the lungs hardly
    ever fits into a chest X-ray. Where the area outside is smaller than that of the lungs, all of it is taken.
    """
    lungs = lung_region(masks, margin=margin)
    area = lung_region(masks, margin=margin, box=box).flatten(1).sum(1)
    n, _, height, width = masks.shape
    rows = torch.arange(height, device=masks.device)[None, :, None].expand(n, height, width)
    columns = torch.arange(width, device=masks.device)[None, None, :].expand(n, height, width)
    orders = torch.stack([rows, height - 1 - rows, columns, width - 1 - columns], 1)  # (n, 4, H, W): rank from each edge
    edge = (uniform(n, generator, masks.device) * 4).long().clamp_max(3)
    rank = orders[torch.arange(n, device=masks.device), edge].flatten(1) * (height * width)
    rank = rank + torch.arange(height * width, device=masks.device)[None]
    rank = rank.masked_fill(lungs.flatten(1), 2**40)
    place = rank.argsort(1).argsort(1)
    return ((place < area[:, None]) & ~lungs.flatten(1)).view_as(masks)
