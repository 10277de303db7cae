"""Frame and collimation: the outer pixels of a picture, swapped for a donor's."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.edits.geometry import box_warp
from nas.edits.masks import as_masks, boxes, pixels


def frame_region(images: Tensor, width: float = 0.06) -> Tensor:
    """The outer ``width`` (share of the side) of every image, bool (n, 1, H, W)."""
    k = pixels(width, images)
    n, _, height, wide = images.shape
    inner = torch.tensor([[k, height - k, k, wide - k]], device=images.device).expand(n, 4)
    return ~boxes(inner, height, wide)


def swap_frame(images: Tensor, donors: Tensor, *, width: float = 0.06, masks: Tensor | None = None) -> Tensor:
    """Give each image the outer pixels of a donor; with ``masks`` the recipient's lungs are never painted over."""
    region = frame_region(images, width)
    if masks is not None:
        region = region & ~as_masks(masks, images)
    return torch.where(region, donors, images)


def content_box(images: Tensor, *, dark: float = 0.06, light: float = 0.98) -> Tensor:
    """Limits (n, 4) of the picture without its near-black or near-white borders: collimation and letterbox bars.

    A row or column is border while fewer than 10 % of its pixels lie between ``dark`` and ``light``; never more than a
    quarter of the side is taken off.
    """
    content = ((images > dark) & (images < light)).to(torch.float32)
    limits = []
    for dimension in (3, 2):  # rows first, then columns
        used = content.mean(dimension)[:, 0] > 0.10
        size = used.shape[1]
        low = used.to(torch.uint8).argmax(1).clamp_max(size // 4)
        high = (size - used.flip(1).to(torch.uint8).argmax(1)).clamp_min(size - size // 4)
        limits += [low, high]
    return torch.stack(limits, 1)


def swap_collimation(images: Tensor, donors: Tensor) -> Tensor:
    """Squeeze each picture's content into the donor's content box and add the donor's border around it."""
    own, other = content_box(images), content_box(donors)
    inside = boxes(other, *images.shape[2:])
    return torch.where(inside, box_warp(images, own, other), donors)
