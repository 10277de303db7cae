"""Occlusion through the perturbation engine: images × windows in batches of bounded memory, forward passes only."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.inquisitor.attribution.methods import METHODS, Maps, baselines
from nas.inquisitor.engine import Edit, Engine, margins


def windows(image_size: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Upper left corners of all windows; as in Captum, the last ones reach the border and are cut there."""
    count = -(-(image_size - window) // stride) + 1
    return [(row * stride, column * stride) for row in range(count) for column in range(count)]


def occlude(
    engine: Engine, images: Tensor, targets: Tensor, *, window: int, stride: int, reference: Tensor | float = 0.0
) -> Tensor:
    """How much each window's removal lowers the target's log-odds, averaged over the windows of a pixel: float32 (n, H, W).

    Args:
        images: float (n, 1, H, W). reference: what stands in a removed window, a value or pictures like the images.
    """
    size, n = images.shape[-1], len(images)
    corners = windows(size, window, stride)
    place = torch.tensor(corners, device=images.device)
    line = torch.arange(size, device=images.device)
    behind = reference if isinstance(reference, Tensor) else torch.full_like(images[:1], reference).expand(n, -1, -1, -1)

    def edit(numbers: Tensor) -> Tensor:
        row, corner = numbers % n, place[numbers // n]
        down = (line >= corner[:, :1]) & (line < corner[:, :1] + window)
        across = (line >= corner[:, 1:]) & (line < corner[:, 1:] + window)
        return torch.where((down[:, :, None] & across[:, None])[:, None], behind[row], images[row])

    clean = _of(engine, lambda numbers: images[numbers], n, size, targets)
    occluded = _of(engine, edit, len(corners) * n, size, targets.repeat(len(corners))).view(len(corners), n)
    total, count = torch.zeros(n, size, size), torch.zeros(size, size)
    for (row, column), values in zip(corners, occluded, strict=True):
        total[:, row : row + window, column : column + window] += (clean - values)[:, None, None]
        count[row : row + window, column : column + window] += 1
    return total / count


def _of(engine: Engine, edit: Edit, pairs: int, size: int, targets: Tensor) -> Tensor:
    z = torch.from_numpy(margins(engine.logits(edit, pairs, size)))
    return z.gather(1, targets.cpu()[:, None])[:, 0].float()


@METHODS.register("occlusion")
def occlusion(engine: Engine, images: Tensor, targets: Tensor) -> Maps:
    """Zeiler & Fergus 2014: windows of a sixth of the side, half overlapping, blurred away."""
    window = max(2, images.shape[-1] // 6)
    values = occlude(engine, images, targets, window=window, stride=max(1, window // 2), reference=baselines(images))
    return Maps("occlusion", values.to(images.device))
