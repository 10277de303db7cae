"""Where a map's evidence lies, against the chest region: figures that do not depend on the region's area or on a map's scale."""

from __future__ import annotations

import torch
from scipy.stats import rankdata
from torch import Tensor


def mass_outside(values: Tensor, regions: Tensor) -> Tensor:
    """Share of a map's positive evidence outside the regions, (n,) from (n, H, W) and bool (n, H, W); NaN where there is none."""
    positive = values.clamp(min=0).flatten(1)
    total = positive.sum(dim=1)
    outside = (positive * ~regions.flatten(1)).sum(dim=1)
    return torch.where(total > 0, outside / total.clamp(min=1e-30), torch.full_like(total, torch.nan))


def localisation_auc(values: Tensor, regions: Tensor) -> Tensor:
    """AUC with which a map tells inside from outside pixels, (n,): 0.5 by chance whatever the area.

    NaN without both sides, and for a map that holds NaN. Equal values, of which maps through ReLU and pooling are full, count half.
    """
    inside = regions.flatten(1)
    ranks = torch.from_numpy(rankdata(values.flatten(1).cpu().numpy(), axis=1)).to(inside.device)
    m = inside.sum(dim=1).double()
    n = inside.shape[1] - m
    area = ((ranks * inside).sum(dim=1) - m * (m + 1) / 2) / (m * n)
    return torch.where((m > 0) & (n > 0), area, torch.full_like(area, torch.nan))


def excess_mass(values: Tensor, regions: Tensor) -> Tensor:
    """Mass outside a patient's own region minus outside the other patients' regions, (n,): what is not mere centre bias."""
    others = regions.roll(1, dims=0)
    return mass_outside(values, regions) - mass_outside(values, others)
