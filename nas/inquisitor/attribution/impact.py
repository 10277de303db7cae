"""GSInquire's two metrics, always beside a random region of equal area and shape (Lin et al. 2019, arXiv:1910.07387)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.edits import get_fill
from nas.inquisitor.attribution.grid import elsewhere, enlarge
from nas.inquisitor.engine import Engine, margins, probabilities
from nas.inquisitor.judge import rounded
from nas.statistics.intervals import mean, standard_error

TAU = 0.5  # confidence that falls to this share of itself counts as lost
_SCORED = {"impact": "weakened", "strict": "changed", "drop": "drop"}  # each score and what it averages
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Impact:
    """What removing regions does, one row an image that was decided rightly.

    Attributes:
        changed: another class wins. weakened: another class wins, or the confidence falls to τ of itself (the published score).
        drop: log-odds lost, the continuous companion.
    """

    changed: NDArray[np.bool_]
    weakened: NDArray[np.bool_]
    drop: Floats


def impact(engine: Engine, images: Tensor, targets: Tensor, regions: Tensor, fill: str, seed: int = 0) -> Impact:
    """Remove each image's region (bool (n, g, g) or pixels (n, 1, H, W)) with a fill and ask the model again."""
    where = (enlarge(regions, images.shape[-1]) if regions.ndim == 3 else regions).to(images.device)
    paint = get_fill(fill)

    def removed(numbers: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed + int(numbers[0]))
        return paint(images[numbers], where[numbers], generator)

    before = engine.logits(lambda numbers: images[numbers], len(images), images.shape[-1])
    after = engine.logits(removed, len(images), images.shape[-1])
    row, target = np.arange(len(images)), targets.cpu().numpy()
    changed = after.argmax(axis=1) != target
    weakened = changed | (probabilities(after)[row, target] <= TAU * probabilities(before)[row, target])
    return Impact(changed, weakened, (margins(before) - margins(after))[row, target])


def impact_scores(
    engine: Engine, images: Tensor, targets: Tensor, regions: Tensor, *, fill: str, seed: int = 0, groups: NDArray | None = None
) -> dict[str, object]:
    """Impact Score (τ = 0.5), its strict form and the log-odds drop, and each one's excess over a random region.

    The excess is paired by image, with an interval over groups. Images that the model decides wrongly are the caller's
    to leave out; empty regions are counted, not averaged in.
    """
    valid = regions.flatten(1).any(dim=1)
    kept = torch.nonzero(valid)[:, 0]
    if len(kept) < 2:
        return {"n": len(kept), "empty": int((~valid).sum()), "note": "too few regions"}
    images, targets, regions = images[kept], targets[kept], regions[kept.cpu()]
    groups = groups[kept.cpu().numpy()] if groups is not None else None
    own, control = beside_random(engine, images, targets, regions, fill, seed)
    return {"n": len(kept), "empty": int((~valid).sum()), "fill": fill, "tau": TAU, **excess(own, control, groups)}


def beside_random(
    engine: Engine, images: Tensor, targets: Tensor, regions: Tensor, fill: str, seed: int = 0
) -> tuple[Impact, Impact]:
    """What removing each image's region (bool (n, g, g)) does, and what a random region of its area and shape does."""
    control = elsewhere(regions, torch.Generator().manual_seed(seed))
    return impact(engine, images, targets, regions, fill, seed), impact(engine, images, targets, control, fill, seed)


def excess(own: Impact, control: Impact, groups: NDArray | None = None) -> dict[str, dict[str, float | None]]:
    """By score ("impact", "strict", "drop") its mean, the random regions', and the paired difference with its interval over groups."""
    found = {}
    for name, field in _SCORED.items():
        first, second = (getattr(each, field).astype(np.float64) for each in (own, control))
        difference = first - second
        bounds = mean(difference, groups) if standard_error(difference, groups)[0] > 0 else None
        gain = float(difference.mean())
        found[name] = {
            "score": rounded(float(first.mean())), "random": rounded(float(second.mean())), "excess": rounded(gain),
            "low": rounded(bounds.low if bounds else gain), "high": rounded(bounds.high if bounds else gain),
        }  # fmt: skip
    return found


def coverage(regions: Tensor, truth: Tensor) -> tuple[Floats, int]:
    """Intersection over union of regions (n, g, g) with true pixel regions bool (n, H, W); images without truth are counted."""
    pixels = enlarge(regions, truth.shape[-1])[:, 0]
    present = truth.flatten(1).any(dim=1)
    both, either = (pixels & truth).flatten(1).sum(1).double(), (pixels | truth).flatten(1).sum(1).double()
    return (both / either.clamp(min=1))[present].numpy(), int((~present).sum())
