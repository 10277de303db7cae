"""Random changes of training images, drawn per sample, applied to a whole batch in one resampling pass on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from baselines.recipe import Augmentation

CPU_CHUNK = 16  # images resampled at a time on the CPU: coordinates stay in the second-level cache (2.3× faster at 128 px)


@dataclass(frozen=True)
class Changes:
    """What is done to each of n images.

    Attributes:
        affine: float32 (n, 2, 3), from output to input coordinates in [−1, 1]; ``None``: no resampling.
        gain, offset: float32 (n,): brightness is ``gain · x + offset`` about the image's mean.
    """

    affine: Tensor | None
    gain: Tensor
    offset: Tensor

    def to(self, device: torch.device) -> Changes:
        """The same on another device."""
        if device.type == "cpu":
            return self
        affine = None if self.affine is None else self.affine.to(device, non_blocking=True)
        return Changes(affine, self.gain.to(device, non_blocking=True), self.offset.to(device, non_blocking=True))

    def rows(self, start: int, stop: int) -> Changes:
        """Changes of a slice of the images."""
        affine = None if self.affine is None else self.affine[start:stop]
        return Changes(affine, self.gain[start:stop], self.offset[start:stop])


def draw_changes(settings: Augmentation, n: int, generator: torch.Generator) -> Changes:
    """Draw the changes of ``n`` images on the CPU: uniform in the ranges of ``settings``."""
    unit = torch.rand(7, n, generator=generator) * 2 - 1
    gain = 1 + settings.contrast * unit[0]
    offset = settings.brightness * unit[1]
    if not (settings.rotation or settings.translation or settings.zoom or settings.flip):
        return Changes(None, gain, offset)
    angle = math.radians(settings.rotation) * unit[2]
    scale = 1 / (1 + settings.zoom * unit[3])
    mirror = torch.where(unit[4] < 2 * settings.flip - 1, -1.0, 1.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift = 2 * settings.translation * unit[5:7]  # the side is 2 units long
    rows = torch.stack([cosine * mirror, -sine, shift[0], sine * mirror, cosine, shift[1]], dim=1)
    return Changes(rows.reshape(n, 2, 3), gain, offset)


def apply_changes(images: Tensor, changes: Changes, means: Tensor) -> Tensor:
    """Change a batch.

    Args:
        images: uint8, or float in 0..255, (n, 1, H, W); not changed.
        changes: on the same device.
        means: mean brightness of each image in [0, 1], float32 (n,).

    Returns:
        float32 (n, 1, H, W) in [0, 1]; what comes from outside the image is dark.
    """
    gain = (changes.gain / 255).view(-1, 1, 1, 1)
    offset = (means * (1 - changes.gain) + changes.offset).view(-1, 1, 1, 1)
    if images.device.type != "cpu":
        return _apply(images, changes.affine, gain, offset)
    result = torch.empty(images.shape, dtype=torch.float32)
    for start in range(0, len(images), CPU_CHUNK):
        part = slice(start, start + CPU_CHUNK)
        affine = None if changes.affine is None else changes.affine[part]
        result[part] = _apply(images[part], affine, gain[part], offset[part])
    return result


def _apply(images: Tensor, affine: Tensor | None, gain: Tensor, offset: Tensor) -> Tensor:
    values = images.float()
    if affine is not None:
        grid = _grid(affine, images.shape[-2], images.shape[-1])
        values = functional.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    elif values is images:
        values = values.clone()
    return values.mul_(gain).add_(offset).clamp_(0, 1)


def _grid(affine: Tensor, height: int, width: int) -> Tensor:
    """Sampling positions (n, H, W, 2), laid out plane by plane: one addition makes them, and sampling reads them in a row.

    The library's own ``affine_grid`` is a batched matrix product, 20 to 40 times slower here.
    """
    across = affine[:, :, 0:1] * _pixel_centres(width, affine.device)
    down = affine[:, :, 1:2] * _pixel_centres(height, affine.device) + affine[:, :, 2:3]
    return (down[:, :, :, None] + across[:, :, None, :]).permute(0, 2, 3, 1)


def _pixel_centres(size: int, device: torch.device) -> Tensor:
    return (torch.arange(size, device=device, dtype=torch.float32) * 2 + 1) / size - 1
