"""Acquisition style: tone, low-frequency shading and sharpness (so resampling) of a donor, all read *outside* the dilated lungs.

Disease changes the lungs' own histogram: a style swap that looked there would move evidence, not style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Generator, Tensor

from nas.edits.donors import fill_lungs
from nas.edits.masks import as_masks, lung_region
from search_spaces.errors import InputError

PARTS = ("histogram", "low_frequency", "sharpness")
_QUANTILES = 17
_DARK, _LIGHT = 0.08, 0.98  # outside these it is air, collimation or a letter, not body
_SHARES = (0.5, 0.95)  # of the body's tones: a style that lifts air over ``_DARK`` changes the darker half
_POWER = (0.67, 1.5)  # limits of the tone curve's exponent, which few tones tell
_SHADE = 0.25  # largest change of brightness by shading
_LOW = 2  # spatial frequencies up to this many cycles across the picture count as shading
_GAIN = 1.5  # how far detail is scaled up; 2.5 made honest networks less precise to judge
_BANDS = 4  # of half an octave: down to a quarter of the finest detail


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
        result = match_sharpness(result, masks, donors, donor_masks, generator)
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
    """Quantiles of the brighter half of the body's pixels inside ``where``, float (n, _QUANTILES)."""
    used = _body(images, where)
    values = images.flatten(1).masked_fill(~used.flatten(1), float("inf")).sort(1).values
    count = used.flatten(1).sum(1, keepdim=True).clamp_min(1)
    share = torch.linspace(*_SHARES, _QUANTILES, device=images.device)[None]
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
    """Strength of the detail in each band inside ``where``, from the finest band down, float (n, bands).

    The squared mean of square roots: letters and edges, strong but few, hardly move it.
    """
    means = [(band.abs().sqrt() * where).sum((1, 2, 3)) for band in _bands(images)]
    return (torch.stack(means, 1) / where.sum((1, 2, 3)).clamp_min(1)[:, None]).square()


def match_sharpness(images: Tensor, masks: Tensor, donors: Tensor, donor_masks: Tensor, generator: Generator) -> Tensor:
    """Scale each image's detail, band by band, until its sharpness outside the lungs is the donor's.

    What an image lost when it was enlarged or smoothed cannot be scaled up again: those pairs keep most of what they were, and
    the others show what a donor's resampling does. (Noise in place of what is missing made honest networks' effects less precise
    than it gained: margins of 0.1 σ could no longer be told.)
    """
    present = _sharpness_outside(images, masks, generator)
    gain = (_sharpness_outside(donors, donor_masks, generator) / present.clamp_min(1e-6)).clamp_max(_GAIN)
    change = torch.zeros_like(images)
    for detail, scale in zip(_bands(images), gain.T, strict=True):
        change += (scale[:, None, None, None] - 1) * detail
    return (images + change).clamp(0, 1)


def _sharpness_outside(images: Tensor, masks: Tensor, generator: Generator) -> Tensor:
    """Of the body outside the dilated lungs, read in the lung-filled picture, since a band's pixel shows its neighbourhood, too."""
    outside = ~lung_region(as_masks(masks, images))
    return sharpness(fill_lungs(images, masks, generator, fill="laplace"), _body(images, outside))


def _body(images: Tensor, where: Tensor) -> Tensor:
    """``where`` without air and collimation (near black) and burnt-out letters (near white)."""
    return where & (images > _DARK) & (images < _LIGHT)


def _bands(images: Tensor) -> Iterator[Tensor]:
    """Detail in bands of half an octave, from the finest down; the larger of the two frequencies decides, as resampling cuts them."""
    softer = images
    for step in range(1, _BANDS + 1):
        sharper = softer
        softer = _below(images, 2 ** (-step / 2))
        yield sharper - softer


def _below(images: Tensor, cutoff: float) -> Tensor:
    """What varies more slowly than ``cutoff`` times the finest frequency along both sides, the borders mirrored (cosine transform)."""
    rows, columns = (_projection(side, cutoff, images.device, images.dtype) for side in images.shape[2:])
    return rows @ images @ columns


@cache
def _projection(side: int, cutoff: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Onto the lowest cosines, (side, side): symmetric. Kept, so that no inference tensor may be left for a training."""
    with torch.inference_mode(False):
        return _onto_cosines(side, max(round(cutoff * side), 1)).to(device, dtype)


def _onto_cosines(side: int, count: int) -> Tensor:
    """Projection onto the ``count`` lowest of the discrete cosine transform (type 2), float64 (side, side)."""
    place = (torch.arange(side, dtype=torch.float64) + 0.5) * torch.pi / side
    waves = torch.cos(torch.arange(count, dtype=torch.float64)[:, None] * place) * (2 / side) ** 0.5
    waves[0] *= 0.5**0.5
    return waves.T @ waves
