"""Our reading of GSInquire: the region that the network itself says it cannot do without.

Not read off a gradient: connected regions are removed through the perturbation engine, and the one whose removal costs the
decision most is kept, grown and mended, forward passes only. Each is removed in two ways, and their mean counts: a search that
sees one alone finds regions that this fill turns into evidence for another class. One meets the surroundings without an edge, the
other keeps the broad shading; what they lead to is scored with neither (``UNSEEN``). The published method projects a generator's proposed
parameter change into the image by an unpublished transformation; this is a stated substitute with the same question.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas.edits import FILLS, get_fill
from nas.inquisitor.attribution.grid import CELLS, cells_in, connected, enlarge, neighbours, start_windows
from nas.inquisitor.engine import Engine, margins

_SMOOTH, _SOFT = "laplace", "blur"  # what the search fills with
UNSEEN = tuple(name for name in FILLS if name not in (_SMOOTH, _SOFT))  # what its regions may be scored with
_STARTS = 4  # beams kept after the scan
_MENDS = 4  # rounds of taking away the least useful cell and adding the most useful one


def critical_regions(
    engine: Engine, images: Tensor, targets: Tensor, *, size: int | None = None, cells: int = CELLS
) -> tuple[Tensor, Tensor]:
    """For each image the region whose removal lowers the target's log-odds most.

    Args:
        images: float (n, 1, H, W). targets: int64 (n,), usually the decision. size: cells in a region.

    Returns:
        regions bool (n, g, g), all of the same area, each in one piece; and log-odds float (n,) when they are removed, the mean
        of both ways.
    """
    size = size or cells_in(cells=cells)
    search = _Search(engine, images, targets, cells)
    owner, regions, odds = search.scan()
    while int(regions[0].sum()) < size:
        owner, regions, odds = search.grow(owner, regions)
    best = odds.view(len(images), -1).argmin(dim=1)
    row = torch.arange(len(images)) * (len(odds) // len(images)) + best
    owner, regions, odds = owner[row], regions[row], odds[row]
    for _ in range(_MENDS):
        owner, regions, odds = search.mend(owner, regions, odds)
    return regions, odds


class _Search:
    """Candidates of all images side by side; ``owner`` says whose each one is, sorted by image."""

    def __init__(self, engine: Engine, images: Tensor, targets: Tensor, cells: int) -> None:
        self.engine, self.images, self.targets, self.cells = engine, images, targets, cells
        self.soft = get_fill(_SOFT)(images, torch.ones_like(images, dtype=torch.bool), torch.Generator())

    def odds(self, owner: Tensor, regions: Tensor) -> Tensor:
        """Log-odds (m,) of each candidate's image without its region: the mean over both ways of removing it."""
        count, smooth, unused = len(owner), get_fill(_SMOOTH), torch.Generator()

        def edit(numbers: Tensor) -> Tensor:
            row = numbers % count
            image = owner[row]
            shown, where, first = self.images[image], enlarge(regions[row], self.images.shape[-1]), numbers < count
            edited = torch.where(where, self.soft[image], shown)
            edited[first] = smooth(shown[first], where[first], unused)
            return edited

        z = torch.from_numpy(margins(self.engine.logits(edit, 2 * count, self.images.shape[-1])))
        targets = self.targets[owner].cpu().repeat(2)
        return z.gather(1, targets[:, None])[:, 0].view(2, count).mean(dim=0).float()

    def scan(self) -> tuple[Tensor, Tensor, Tensor]:
        """Every start window on every image; the best few, of which no two overlap by much."""
        windows = start_windows(self.cells, self.images.device)
        n, count = len(self.images), len(windows)
        owner = torch.arange(n, device=self.images.device).repeat_interleave(count)
        odds = self.odds(owner, windows.repeat(n, 1, 1)).view(n, count)
        overlap = torch.einsum("aij,bij->ab", windows.float(), windows.float()).cpu() > 3
        kept = []
        for _ in range(_STARTS):
            best = odds.argmin(dim=1)
            kept.append((best, odds.gather(1, best[:, None])[:, 0]))
            odds = odds.masked_fill(overlap[best], torch.inf)
        picks = torch.stack([best for best, _ in kept], dim=1).flatten()
        values = torch.stack([value for _, value in kept], dim=1).flatten()
        return torch.arange(n).repeat_interleave(_STARTS), windows.cpu()[picks].clone(), values

    def grow(self, owner: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each region with the neighbouring cell whose removal costs most."""
        parent, cell = torch.nonzero(neighbours(regions).flatten(1), as_tuple=True)
        return self._choose(owner, regions, parent, _with(regions[parent], cell, True))

    def mend(self, owner: Tensor, regions: Tensor, odds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give up the cell that matters least, then take the best neighbour; kept only where that costs the decision more."""
        parent, cell = torch.nonzero(regions.flatten(1), as_tuple=True)
        smaller = _with(regions[parent], cell, False)
        whole = connected(smaller)
        _, trimmed, _ = self._choose(owner, regions, parent[whole], smaller[whole])
        _, mended, better = self.grow(owner, trimmed)
        gain = better < odds
        return owner, torch.where(gain[:, None, None], mended, regions), torch.where(gain, better, odds)

    def _choose(self, owner: Tensor, regions: Tensor, parent: Tensor, offered: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        device = self.images.device
        found = self.odds(owner[parent].to(device), offered.to(device))
        best = torch.full((len(regions),), torch.inf).scatter_reduce(0, parent, found, "amin")
        chosen = torch.zeros(len(regions), dtype=torch.int64)
        hits = torch.nonzero(found == best[parent])[:, 0].flip(0)  # of equals, the first
        chosen[parent[hits]] = hits
        return owner, offered[chosen], best


def _with(regions: Tensor, cell: Tensor, value: bool) -> Tensor:
    changed = regions.clone()
    changed.flatten(1)[torch.arange(len(changed)), cell] = value
    return changed
