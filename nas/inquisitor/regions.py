"""Regions that the audit speaks of: where evidence is legitimate, and where a marker may hide."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from nas.edits import boxes, detect_markers, dilate, frame_region

MARGIN = 0.04  # of the side: mask errors, pleura and the costophrenic margin
_WINDOW = 0.17  # side of the window in which a marker is looked for


def chest_region(masks: Tensor) -> Tensor:
    """Lungs, what lies between them in each row (heart, hila, mediastinum), and a margin: bool (n, 1, H, W) from (n, H, W).

    Heart and hila are legitimate evidence, so the verdict's region is wider than the lungs alone.
    """
    lungs = masks.to(torch.uint8)
    left, right = lungs.cummax(dim=2).values, lungs.flip(2).cummax(dim=2).values.flip(2)
    return dilate((left & right)[:, None].bool(), max(1, round(MARGIN * masks.shape[-1])))


def border_region(images: Tensor, content: Tensor, width: float = 0.08) -> Tensor:
    """The outer ``width`` of the picture and whatever lies outside its content box (limits (n, 4)): bool (n, 1, H, W)."""
    return frame_region(images, width) | ~boxes(content, *images.shape[2:])


def marker_candidates(images: Tensor, masks: Tensor) -> Tensor:
    """Where a marker is, or would be: found marks, and the window outside the chest with the strongest local contrast.

    Every picture has such a window, so both arms of a transplant carry patches of one kind, and a mark of a style that
    no detector was made for is taken along as long as it stands out. A mark that was found counts up to the lungs themselves:
    tags are stuck over the chest's margin too. Bool (n, 1, H, W).
    """
    outside = ~chest_region(masks)
    side = max(3, round(_WINDOW * images.shape[-1]) | 1)
    detail = (images - avg_pool2d(images, 5, 1, 2, count_include_pad=False)).abs() * outside
    room, energy = _window_mean(outside.float(), side), _window_mean(detail, side)
    energy = energy * (room > 0.5)
    best = energy.flatten(1).argmax(dim=1)
    row, column, half = best // images.shape[-1], best % images.shape[-1], side // 2
    window = boxes(torch.stack([row - half, row + half + 1, column - half, column + half + 1], dim=1), *images.shape[2:])
    return (window & outside) | (detect_markers(images, masks) & ~masks[:, None])


def _window_mean(values: Tensor, side: int) -> Tensor:
    """Mean over a square window, zeros beyond the border: along rows, then along columns."""
    return avg_pool2d(avg_pool2d(values, (1, side), 1, (0, side // 2)), (side, 1), 1, (side // 2, 0))


def cell_masks(image_size: int, cells: int, device: torch.device) -> Tensor:
    """A square grid as masks, bool (cells², H, W), row by row from the upper left."""
    line = torch.arange(image_size, device=device) * cells // image_size
    number = line[:, None] * cells + line[None]
    return number[None] == torch.arange(cells * cells, device=device)[:, None, None]
