"""What takes the place of removed pixels. Every verdict must hold under at least two of these.

A fill receives images float (n, 1, H, W) in [0, 1], a region bool (n, 1, H, W) and a generator, and returns the images with
the region replaced and everything else untouched, bit for bit.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor

from nas.edits.masks import pixels, ring
from nas.edits.randomness import normal
from search_spaces.errors import InputError

_RING = 0.06  # width of the ring whose mean and noise are copied, in shares of the side
_SWEEPS = 12  # relaxation sweeps at each level of the pyramid


class Fill(Protocol):
    """Replace a region of each image."""

    def __call__(self, images: Tensor, region: Tensor, generator: Generator) -> Tensor: ...


def ring_mean(images: Tensor, region: Tensor, generator: Generator) -> Tensor:
    """The mean of the ring around the region, with noise as strong as the ring's own fine grain."""
    band = ring(region, pixels(_RING, images))
    band = torch.where(band.flatten(1).any(1)[:, None, None, None], band, ~region)
    smooth = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    count = band.sum((1, 2, 3), keepdim=True).clamp_min(1)
    mean = (images * band).sum((1, 2, 3), keepdim=True) / count
    spread = _median((images - smooth).abs(), band) / 0.63  # of a 3 × 3 residue of white noise; edges do not move a median
    return torch.where(region, (mean + spread * normal(images, generator)).clamp(0, 1), images)


def _median(values: Tensor, where: Tensor) -> Tensor:
    """Median inside a region, (n, 1, 1, 1); 0 for an empty region."""
    ordered = values.flatten(1).masked_fill(~where.flatten(1), float("inf")).sort(1).values
    middle = (where.flatten(1).sum(1, keepdim=True) - 1).clamp_min(0) // 2
    return ordered.gather(1, middle).nan_to_num(0, 0, 0)[:, :, None, None]


def laplace(images: Tensor, region: Tensor, generator: Generator) -> Tensor:
    """Linear imputation: each replaced pixel is the mean of its neighbours (Laplace's equation, solved coarse to fine)."""
    return torch.where(region, _harmonic(images, ~region), images)


def _harmonic(images: Tensor, known: Tensor) -> Tensor:
    """Solve on a pyramid: the half-size solution, interpolated, is the start of the relaxation."""
    weights = known.to(images.dtype)
    if min(images.shape[2:]) <= 4:
        total = weights.sum((1, 2, 3), keepdim=True)
        mean = (images * weights).sum((1, 2, 3), keepdim=True) / total.clamp_min(1)
        start = torch.where(known, images, mean)
    else:
        share = functional.avg_pool2d(weights, 2, ceil_mode=True, count_include_pad=False)
        half = functional.avg_pool2d(images * weights, 2, ceil_mode=True, count_include_pad=False) / share.clamp_min(1e-6)
        coarse = _harmonic(half, share > 0)
        up = functional.interpolate(coarse, size=images.shape[2:], mode="bilinear", align_corners=False)
        start = torch.where(known, images, up)
    for _ in range(_SWEEPS):
        padded = functional.pad(start, (1, 1, 1, 1), mode="replicate")
        around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
        start = torch.where(known, images, around / 4)
    return start


def blurred(images: Tensor, region: Tensor, generator: Generator) -> Tensor:
    """The image itself, blurred until only its broad shading is left."""
    radius = pixels(0.12, images)
    soft = images
    for _ in range(2):
        soft = functional.avg_pool2d(soft, 2 * radius + 1, 1, radius, count_include_pad=False)
    return torch.where(region, soft, images)


def constant(images: Tensor, region: Tensor, generator: Generator) -> Tensor:
    """The image's mean grey: the crudest fill, for comparison."""
    return torch.where(region, images.mean((1, 2, 3), keepdim=True), images)


FILLS: dict[str, Fill] = {"ring": ring_mean, "laplace": laplace, "blur": blurred, "constant": constant}


def get_fill(fill: str | Fill) -> Fill:
    """A fill by name (``ring``, ``laplace``, ``blur``, ``constant``), or the given function itself."""
    if not isinstance(fill, str):
        return fill
    if fill not in FILLS:
        raise InputError(f"unknown fill {fill!r}; known: {', '.join(FILLS)}")
    return FILLS[fill]
