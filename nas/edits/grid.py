"""Cells of a regular grid, swapped one at a time: where an effect sits."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nas.edits.masks import boxes


def cells(images: Tensor, grid: int) -> Iterator[tuple[int, int, Tensor]]:
    """Row, column and region, bool (1, 1, H, W), of each cell of a ``grid`` × ``grid`` partition of the picture."""
    height, width = images.shape[2:]
    rows = [round(k * height / grid) for k in range(grid + 1)]
    columns = [round(k * width / grid) for k in range(grid + 1)]
    for i in range(grid):
        for j in range(grid):
            limits = torch.tensor([[rows[i], rows[i + 1], columns[j], columns[j + 1]]], device=images.device)
            yield i, j, boxes(limits, height, width)


def swap_region(images: Tensor, donors: Tensor, region: Tensor) -> Tensor:
    """Replace a region, bool (n or 1, 1, H, W), by the same region of the donors."""
    return torch.where(region, donors, images)
