"""Random numbers from an explicit generator, wherever the images live.

Numbers are drawn on the generator's own device and then moved: a CPU generator gives the same edits on every device.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def normal(images: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise shaped like the images."""
    return torch.randn(images.shape, generator=generator, device=generator.device, dtype=images.dtype).to(images.device)


def uniform(n: int, generator: Generator, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), float32 (n,)."""
    return torch.rand(n, generator=generator, device=generator.device).to(device)


def integers(low: int, high: int, n: int, generator: Generator, device: torch.device) -> Tensor:
    """Integers in low..high−1, int64 (n,)."""
    return torch.randint(low, high, (n,), generator=generator, device=generator.device).to(device)


def permutation(n: int, generator: Generator, device: torch.device) -> Tensor:
    """A permutation of 0..n−1, int64 (n,)."""
    return torch.randperm(n, generator=generator, device=generator.device).to(device)
