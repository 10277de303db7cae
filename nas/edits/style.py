"""Acquisition style: tone, low-frequency shading and sharpness of a donor, all read *outside* the dilated lungs.

Disease changes the lungs' own histogram: a style swap that looked there would move evidence, not style.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor

from nas.edits.donors import fill_lungs
from nas.edits.masks import as_masks, lung_region
from search_spaces.errors import InputError

PARTS = ("histogram", "low_frequency", "sharpness")
_QUANTILES = 17
_DARK, _LIGHT = 0.08, 0.98  # outside these it is air, collimation or a letter, not body
_POWER = (0.5, 2.0)  # limits of the tone curve's exponent
_SHADE = 0.25  # largest change of brightness by shading
_LOW = 2  # spatial frequencies up to this many cycles across the picture count as shading
_GAIN = (0.4, 2.5)  # limits of the change in sharpness


def swap_style(
    images: Tensor,
    masks: Tensor,
    donors: Tensor,
    donor_masks: Tensor,
    generator: Generator,
    *,
    parts: Sequence[str] = PARTS,
) -> Tensor:
    """Give each image the acquisition style of its donor, row for row.

    ``parts`` are applied in the order of ``PARTS``; unknown ones raise ``InputError``.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise InputError(f"unknown style parts {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    outside, donor_outside = (
        ~lung_region(as_masks(masks, images)),
        ~lung_region(as_masks(donor_masks, donors)),
    )
    result = images
    if "histogram" in parts:
        result = match_histogram(result, outside, donors, donor_outside)
    if "low_frequency" in parts:
        result = match_shading(result, masks, donors, donor_masks, generator)
    if "sharpness" in parts:
        result = match_sharpness(result, outside, donors, donor_outside)
    return result


def match_histogram(images: Tensor, where: Tensor, donors: Tensor, donor_where: Tensor) -> Tensor:
    """One tone curve x ↦ c·x^g for each image, fitted so that the quantiles inside ``where`` become the donor's in its own.

    Two parameters, not a free curve: the grey values of the lungs hardly occur outside them, and a free curve would be
    arbitrary there. Air and collimation (near black) and burnt-out letters (near white) are left out of the fit.
    """
    source, target = _quantiles(images, where).log(), _quantiles(donors, donor_where).log()
    centre, goal = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    spread = (source - centre).square().sum(1).clamp_min(1e-4)
    power = (target - goal).square().sum(1).clamp_min(1e-4).div(spread).sqrt().clamp(*_POWER)[:, None]
    log_gain = goal - power * centre
    curve = log_gain[:, :, None, None] + power[:, :, None, None] * images.clamp_min(1e-4).log()
    return curve.exp().clamp(0, 1)


def _quantiles(images: Tensor, where: Tensor) -> Tensor:
    """Quantiles (10 % to 90 %) of the body's pixels inside ``where``, float (n, _QUANTILES)."""
    used = where & (images > _DARK) & (images < _LIGHT)
    values = images.flatten(1).masked_fill(~used.flatten(1), float("inf")).sort(1).values
    count = used.flatten(1).sum(1, keepdim=True).clamp_min(1)
    share = torch.linspace(0.1, 0.9, _QUANTILES, device=images.device)[None]
    picked = values.gather(1, ((count - 1) * share).round().long())
    return torch.where(picked.isfinite(), picked, torch.full_like(picked, 0.5))


def match_shading(images: Tensor, masks: Tensor, donors: Tensor, donor_masks: Tensor, generator: Generator) -> Tensor:
    """Exchange the amplitude (not the phase) of the lowest spatial frequencies, as read from lung-filled pictures.

    Only the difference that the exchange makes to the lung-filled picture is added to the image.
    """
    filled = fill_lungs(images, masks, generator, fill="laplace")
    other = fill_lungs(donors, donor_masks, generator, fill="laplace")
    spectrum, donor_spectrum = torch.fft.rfft2(filled), torch.fft.rfft2(other)
    rows = torch.fft.fftfreq(images.shape[2], 1 / images.shape[2], device=images.device).abs() <= _LOW
    columns = torch.arange(spectrum.shape[3], device=images.device) <= _LOW
    low = (rows[:, None] & columns[None, :])[None, None]
    exchanged = torch.polar(donor_spectrum.abs(), spectrum.angle())
    shaded = torch.fft.irfft2(torch.where(low, exchanged, spectrum), s=images.shape[2:])
    return (images + (shaded - filled).clamp(-_SHADE, _SHADE)).clamp(0, 1)


def sharpness(images: Tensor, where: Tensor) -> Tensor:
    """Mean absolute fine detail inside ``where``, float (n,)."""
    detail = (images - _smooth(images)).abs() * where
    return detail.sum((1, 2, 3)) / where.sum((1, 2, 3)).clamp_min(1)


def match_sharpness(images: Tensor, where: Tensor, donors: Tensor, donor_where: Tensor) -> Tensor:
    """Scale each image's fine detail so that its sharpness inside ``where`` becomes the donor's."""
    gain = sharpness(donors, donor_where) / sharpness(images, where).clamp_min(1e-5)
    soft = _smooth(images)
    return (soft + gain.clamp(*_GAIN)[:, None, None, None] * (images - soft)).clamp(0, 1)


def _smooth(images: Tensor) -> Tensor:
    """3 × 3 binomial blur."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=images.device, dtype=images.dtype)
    weights = (kernel[:, None] * kernel[None, :] / 16)[None, None]
    return functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), weights)
