"""Geometry: affine warps between lung boxes, lungs stretched into another patient's outline, pure silhouettes."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from nas.edits.masks import as_masks, bounds, feathered, pixels, split_sides


def box_warp(images: Tensor, limits: Tensor, target: Tensor, mode: str = "bilinear") -> Tensor:
    """Stretch and shift each image so that its box ``limits`` lands on the box ``target`` (both (n, 4), see ``bounds``).

    What would come from beyond the border repeats the border. An empty box on either side leaves the image as it is.
    """
    aim = torch.where(_empty(limits, target), limits, target)
    down, across = (_linear(limits[:, k : k + 2], aim[:, k : k + 2], images.shape[2 + k // 2], images) for k in (0, 2))
    return _read(images, down, across, mode)


def inner_warp(images: Tensor, limits: Tensor, target: Tensor, mode: str = "bilinear") -> Tensor:
    """Stretch each image so that its box ``limits`` lands on the box ``target``, while the picture's border stays in place.

    Piecewise linear along each axis: border to box, across the box, box to border. Unlike :func:`box_warp` nothing leaves the
    picture: a marker in a corner or a stripe along an edge stays where it is. An empty box leaves the image as it is.
    """
    aim = torch.where(_empty(limits, target), limits, target)
    down, across = (_piecewise(limits[:, k : k + 2], aim[:, k : k + 2], images.shape[2 + k // 2], images) for k in (0, 2))
    return _read(images, down, across, mode)


def _empty(limits: Tensor, target: Tensor) -> Tensor:
    """Whether either box has no pixel, bool (n, 1)."""
    return ((limits[:, 1] <= limits[:, 0]) | (target[:, 1] <= target[:, 0]))[:, None]


def _line(size: int, images: Tensor) -> Tensor:
    """Pixel centres along one axis, float (1, size), in pixels."""
    return (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5)[None]


def _linear(own: Tensor, aim: Tensor, size: int, images: Tensor) -> Tensor:
    """Where each pixel centre is read from, (n, size): ``aim`` reads ``own``, both (n, 2); an empty box reads what it is."""
    wide, wanted = own[:, 1:] - own[:, :1], aim[:, 1:] - aim[:, :1]
    scale = torch.where(wanted > 0, wide / wanted.clamp_min(1), torch.ones_like(wide / 1))
    return own[:, :1] + (_line(size, images) - aim[:, :1]) * scale


def _piecewise(own: Tensor, aim: Tensor, size: int, images: Tensor) -> Tensor:
    """Where each pixel centre is read from, (n, size): 0, ``aim`` and ``size`` read 0, ``own`` and ``size``, linear between."""
    ends = images.new_tensor([[0, size]]).expand(len(images), 2)
    sources, knots = (torch.cat([ends[:, :1], limits.to(images.dtype), ends[:, 1:]], dim=1) for limits in (own, aim))
    centres = _line(size, images).expand(len(images), size).contiguous()
    piece = torch.searchsorted(knots[:, 1:3].contiguous(), centres)
    start, stop = knots.gather(1, piece), knots.gather(1, piece + 1)
    low, high = sources.gather(1, piece), sources.gather(1, piece + 1)
    return low + (centres - start) * (high - low) / (stop - start).clamp_min(1e-3)


def _read(images: Tensor, down: Tensor, across: Tensor, mode: str) -> Tensor:
    """The images read at rows ``down`` (n, H) and columns ``across`` (n, W), in pixels; beyond the border it repeats."""
    rows, columns = down / images.shape[2] * 2 - 1, across / images.shape[3] * 2 - 1
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
    return functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def align(images: Tensor, masks: Tensor, target_masks: Tensor) -> tuple[Tensor, Tensor]:
    """Warp images so that their lungs' box becomes that of the target masks; returns images and warped masks."""
    own, target = as_masks(masks, images), as_masks(target_masks, images)
    limits, aim = bounds(own), bounds(target)
    warped = inner_warp(own.to(images.dtype), limits, aim, mode="nearest")
    return inner_warp(images, limits, aim), warped > 0.5


OUTLINE_MARGIN = 0.02  # how far the outlines of :func:`swap_geometry` reach beyond the mask, in shares of the side


def swap_geometry(images: Tensor, masks: Tensor, bodies: Tensor, donor_masks: Tensor, outlines: Tensor) -> Tensor:
    """Each patient's lung texture in the outline of a donor's lungs, in that donor's body.

    Each lung is stretched to the box of the donor's lung on that side and shown inside the outline only: texture is the
    patient's, size, shape and place are the donor's. The body comes along, since lungs are large or small in relation to it.

    Args:
        bodies: the donors with their lungs filled. outlines: where their lungs were, with ``OUTLINE_MARGIN`` around them.
    """
    own, other = as_masks(masks, images), as_masks(donor_masks, images)
    soft, result = feathered(outlines, pixels(OUTLINE_MARGIN, images)), bodies
    for side, aim, half in zip(split_sides(own), split_sides(other), _halves(other), strict=True):
        warped = box_warp(images, bounds(side), bounds(aim))
        result = result + soft * half * (warped - result)
    return result.clamp(0, 1)


def _halves(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The picture left and right of the middle of each mask, bool (n, 1, 1, W)."""
    limits = bounds(masks)
    columns = torch.arange(masks.shape[3], device=masks.device)[None, None, None]
    left = columns < ((limits[:, 2] + limits[:, 3]) / 2)[:, None, None, None]
    return left, ~left


def silhouettes(masks: Tensor, images: Tensor, *, inside: float = 0.25, outside: float = 0.6) -> Tensor:
    """Pictures of the masks alone, in two greys: what a model reads from lung shape and nothing else."""
    lungs = as_masks(masks, images)
    return torch.where(lungs, torch.full_like(images, inside), torch.full_like(images, outside))
