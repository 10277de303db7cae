"""Degradations that every picture may suffer on its way: resampling, JPEG-like compression, gamma."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

_BLOCK = 8


def resample(images: Tensor, factor: float) -> Tensor:
    """Down to ``factor`` of the size by area and back up, as a picture that was once stored smaller."""
    height, width = images.shape[2:]
    size = (max(round(height * factor), 4), max(round(width * factor), 4))
    small = functional.interpolate(images, size=size, mode="area")
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False).clamp(0, 1)


def jpeg_like(images: Tensor, quality: float) -> Tensor:
    """Quantise the cosine transform of 8 × 8 blocks with steps that grow with frequency, as JPEG does.

    Args:
        quality: 1 (worst) to 100 (nearly lossless), scaled as in the JPEG reference code.
    """
    height, width = images.shape[2:]
    padded = functional.pad(images, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate") * 255 - 128
    basis = _cosines(images)
    n, _, tall, wide = padded.shape
    blocks = padded.view(n, tall // _BLOCK, _BLOCK, wide // _BLOCK, _BLOCK).transpose(2, 3)
    coefficients = basis @ blocks @ basis.T
    scale = (5000 / max(quality, 1) if quality < 50 else 200 - 2 * quality) / 100
    order = torch.arange(_BLOCK, device=images.device, dtype=images.dtype)
    steps = ((10 + 6 * (order[:, None] + order[None, :])) * scale).clamp_min(1)
    restored = basis.T @ ((coefficients / steps).round() * steps) @ basis
    whole = restored.transpose(2, 3).reshape(n, 1, tall, wide)
    return ((whole + 128) / 255)[..., :height, :width].clamp(0, 1)


def _cosines(images: Tensor) -> Tensor:
    """The orthonormal 8-point cosine transform, (8, 8)."""
    k = torch.arange(_BLOCK, device=images.device, dtype=images.dtype)
    matrix = torch.cos((2 * k[None, :] + 1) * k[:, None] * math.pi / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def gamma(images: Tensor, exponent: Tensor | float) -> Tensor:
    """Tone curve x ↦ x^exponent; a tensor gives each image its own, (n,)."""
    power = exponent[:, None, None, None] if isinstance(exponent, Tensor) else exponent
    return images.clamp_min(1e-6) ** power
