"""Connected regions of equal area on a coarse grid: what methods of every kind are reduced to before they are compared.

Regions are bool (n, g, g): g cells a side. "Connected" goes through cells' sides.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

CELLS = 12
AREA = 0.08  # of the image: about the size of a focus or a marker with its surroundings
_START = 3  # side of the windows that searches start from


def cells_in(area: float = AREA, cells: int = CELLS) -> int:
    """Cells in a region of the given share of the image, at least a start window."""
    return max(_START * _START, round(area * cells * cells))


def enlarge(regions: Tensor, image_size: int) -> Tensor:
    """Regions as pixel masks, bool (n, 1, H, W)."""
    line = torch.arange(image_size, device=regions.device) * regions.shape[-1] // image_size
    return regions[:, line][:, :, line][:, None]


def start_windows(cells: int, device: torch.device) -> Tensor:
    """Every small square window, bool (windows, g, g)."""
    count = cells - _START + 1
    windows = torch.zeros(count * count, cells, cells, dtype=torch.bool, device=device)
    for row in range(count):
        for column in range(count):
            windows[row * count + column, row : row + _START, column : column + _START] = True
    return windows


def neighbours(regions: Tensor) -> Tensor:
    """Cells that share a side with a region and are not in it."""
    grown = regions.clone()
    grown[:, 1:] |= regions[:, :-1]
    grown[:, :-1] |= regions[:, 1:]
    grown[:, :, 1:] |= regions[:, :, :-1]
    grown[:, :, :-1] |= regions[:, :, 1:]
    return grown & ~regions


def connected(regions: Tensor) -> Tensor:
    """Whether each region is in one piece, bool (n,); an empty one is not."""
    flat = regions.flatten(1)
    seed = torch.zeros_like(flat)
    seed[torch.arange(len(flat)), flat.to(torch.uint8).argmax(dim=1)] = True
    reached = seed.view_as(regions) & regions
    for _ in range(regions[0].numel()):
        wider = reached | (neighbours(reached) & regions)
        if torch.equal(wider, reached):
            break
        reached = wider
    return (reached == regions).flatten(1).all(dim=1) & flat.any(dim=1)


def from_map(values: Tensor, size: int, cells: int = CELLS) -> Tensor:
    """The connected region of ``size`` cells that gathers most of a map greedily, bool (n, g, g), from (n, H, W).

    Grown from the best start window by the best neighbour, one cell at a time: the same shape of answer as the search.
    """
    mass = adaptive_avg_pool2d(values[:, None].double(), cells)[:, 0]
    windows = start_windows(cells, values.device)
    best = torch.einsum("nij,wij->nw", mass, windows.double()).argmax(dim=1)
    regions = windows[best].clone()
    for _ in range(size - int(regions[0].sum())):
        offered = mass.masked_fill(~neighbours(regions), -torch.inf).flatten(1)
        regions.flatten(1)[torch.arange(len(regions)), offered.argmax(dim=1)] = True
    return regions


def elsewhere(regions: Tensor, generator: torch.Generator) -> Tensor:
    """Control: each region in its own shape (flipped, perhaps) at a random place inside the image."""
    moved = torch.zeros_like(regions)
    cells = regions.shape[-1]
    for number, region in enumerate(regions.cpu()):
        rows, columns = torch.nonzero(region, as_tuple=True)
        if not len(rows):
            continue
        draw = torch.rand(4, generator=generator).tolist()
        rows, columns = rows - rows.min(), columns - columns.min()
        rows = rows.max() - rows if draw[2] < 0.5 else rows
        columns = columns.max() - columns if draw[3] < 0.5 else columns
        down, across = (int(share * (cells - int(line.max()))) for share, line in zip(draw, (rows, columns), strict=False))
        moved[number, rows + down, columns + across] = True
    return moved
