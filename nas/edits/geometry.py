"""Geometry: affine warps between lung boxes, lungs reshaped to another patient's, pure silhouettes."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor

from nas.edits.fills import Fill, get_fill
from nas.edits.masks import as_masks, bounds, lung_region, split_sides


def box_warp(images: Tensor, limits: Tensor, target: Tensor, mode: str = "bilinear") -> Tensor:
    """Stretch and shift each image so that its box ``limits`` lands on the box ``target`` (both (n, 4), see ``bounds``).

    What would come from beyond the border repeats the border. An empty box on either side leaves the image as it is.
    """
    height, width = images.shape[2:]
    extent = torch.tensor([height, height, width, width], device=images.device)
    source, aim = limits / extent * 2 - 1, target / extent * 2 - 1
    empty = (limits[:, 1] <= limits[:, 0]) | (target[:, 1] <= target[:, 0])
    theta = torch.zeros(len(images), 2, 3, device=images.device, dtype=images.dtype)
    for axis, (low, high) in ((1, (0, 1)), (0, (2, 3))):  # theta's first row is x (columns), its second y (rows)
        scale = (source[:, high] - source[:, low]) / (aim[:, high] - aim[:, low]).clamp_min(1e-3)
        scale = torch.where(empty, torch.ones_like(scale), scale)
        shift = torch.where(empty, torch.zeros_like(scale), source[:, low] - scale * aim[:, low])
        theta[:, axis, axis], theta[:, axis, 2] = scale.to(images.dtype), shift.to(images.dtype)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def align(images: Tensor, masks: Tensor, target_masks: Tensor) -> tuple[Tensor, Tensor]:
    """Warp whole images so that their lungs' box becomes that of the target masks; returns images and warped masks."""
    own, target = as_masks(masks, images), as_masks(target_masks, images)
    limits, aim = bounds(own), bounds(target)
    warped = box_warp(own.to(images.dtype), limits, aim, mode="nearest")
    return box_warp(images, limits, aim), warped > 0.5


def reshape_lungs(
    images: Tensor,
    masks: Tensor,
    donor_masks: Tensor,
    generator: Generator,
    *,
    fill: str | Fill = "ring",
) -> Tensor:
    """Give each patient's own lungs the position and size of a donor's, texture and background kept.

    Each lung is stretched to the box of the donor's lung on that side and put on the patient's own lung-filled picture.
    """
    own, donor = as_masks(masks, images), as_masks(donor_masks, images)
    result = get_fill(fill)(images, lung_region(own), generator)
    for side, aim in zip(split_sides(own), split_sides(donor), strict=True):
        limits, target = bounds(side), bounds(aim)
        warped = box_warp(images, limits, target)
        where = box_warp(lung_region(side).to(images.dtype), limits, target)
        result = torch.lerp(result, warped, where)
    return result.clamp(0, 1)


def silhouettes(masks: Tensor, images: Tensor, *, inside: float = 0.25, outside: float = 0.6) -> Tensor:
    """Pictures of the masks alone, in two greys: what a model reads from lung shape and nothing else."""
    lungs = as_masks(masks, images)
    return torch.where(lungs, torch.full_like(images, inside), torch.full_like(images, outside))
