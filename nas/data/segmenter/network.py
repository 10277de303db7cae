"""The lung segmenter's network: a small U-Net whose skips add, on 96 × 96 pixels, with its input preparation."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

SIZE = 96
"""Pixels a side that the network works on; pictures of any size are resampled to it and masks back."""
_WIDTHS = (16, 32, 48, 64)


def prepare(images: Tensor) -> Tensor:
    """uint8 or float (n, 1, H, W) → float32 (n, 2, SIZE, SIZE): standardised brightness and its rank.

    The rank (histogram equalisation) is blind to any monotone tone curve, which hospitals differ in most.
    """
    x = images.to(torch.float32)
    if x.shape[2:] != (SIZE, SIZE):
        x = functional.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    flat = x.flatten(1)
    spread = flat.std(1, keepdim=True).clamp_min(1e-3 * float(flat.abs().max().clamp_min(1e-3)))
    standard = ((flat - flat.mean(1, keepdim=True)) / spread).clamp(-4, 4)
    rank = flat.argsort(1).argsort(1).to(torch.float32) / flat.shape[1] * 3.4 - 1.7
    return torch.stack([standard, rank], 1).view(len(x), 2, SIZE, SIZE)


class _Pair(nn.Sequential):
    """Two 3 × 3 convolutions with normalisation."""

    def __init__(self, ins: int, outs: int) -> None:
        layers: list[nn.Module] = []
        for width in (ins, outs):
            layers += [nn.Conv2d(width, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class LungNet(nn.Module):
    """float (n, 2, SIZE, SIZE) → logits (n, 1, SIZE, SIZE) of "this pixel is lung, or lung behind the heart"."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(_Pair(a, b) for a, b in zip((8, *_WIDTHS[:-1]), _WIDTHS, strict=True))
        self.bottom = nn.Sequential(
            nn.Conv2d(_WIDTHS[-1], _WIDTHS[-1], 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm2d(_WIDTHS[-1]),
            nn.ReLU(inplace=True),
        )
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(_WIDTHS))
        self.decoders = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, a, 3, padding=1, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True))
            for a in _WIDTHS[:-1]
        )
        self.head = nn.Conv2d(_WIDTHS[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(x, 2)  # (n, 8, 48, 48): half the size, nothing lost
        kept: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x if level == 0 else functional.max_pool2d(x, 2))
            kept.append(x)
        x = self.bottom(x)
        for level in reversed(range(len(self.decoders))):
            up = functional.interpolate(self.narrow[level](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.decoders[level](up + kept[level])
        return functional.pixel_shuffle(self.head(x), 2)
