"""Gates on attribution: a map that fails one is void, never evidence."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from nas.inquisitor.attribution.methods import Maps, UnavailableError
from nas.inquisitor.inference import duplicate
from nas.inquisitor.judge import rounded

COMPLETENESS = 0.2  # largest median gap, as a share of what the map should sum to
SURVIVAL = 0.5  # largest rank correlation with the randomised network's maps, above that between different images
UNMOVED = 0.9  # at such a correlation next to nothing depends on the weights, even where all images' maps are alike


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """A copy with every trained weight drawn anew, each tensor with its own mean and spread (Adebayo et al. 2018).

    Raises:
        UnavailableError: the model has no such weights, or cannot be copied.
    """
    twin = duplicate(model)
    if twin is None or not any(True for _ in twin.parameters()):
        raise UnavailableError("the model cannot be copied, or has no weights to draw anew")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs().max()
            parameter.copy_(noise * spread + (parameter.mean() if parameter.ndim < 2 else 0.0))
    return twin


def completeness(maps: Maps) -> float | None:
    """Median of |sum of the map − what it should sum to| over the larger of that and 0.1; ``None`` where none is promised."""
    if maps.gap is None:
        return None
    miss = (maps.values.flatten(1).sum(dim=1) - maps.gap).abs() / maps.gap.abs().clamp(min=0.1)
    return float(miss.median())


def survival(values: Tensor, other: Tensor) -> tuple[float, float]:
    """Mean rank correlation of |maps| with the randomised network's, and between maps of different images (the chance level)."""
    own, twin = _ranks(values), _ranks(other)
    return float((own * twin).sum(axis=1).mean()), float((own * np.roll(own, 1, axis=0)).sum(axis=1).mean())


def _ranks(values: Tensor) -> np.ndarray:
    ranks = rankdata(values.abs().flatten(1).cpu().numpy(), axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.sqrt((centred**2).sum(axis=1, keepdims=True)), 1e-12)


def verdict_on(maps: Maps, other: Maps, excess_low: float | None) -> dict[str, object]:
    """The gates' figures, and "valid" or "void" with the reason.

    Args:
        other: the same method on the randomised network. excess_low: lower bound of the excess log-odds drop of the map's
            region over a random one.
    """
    gap, (survived, chance) = completeness(maps), survival(maps.values, other.values)
    reasons = []
    if not maps.values.isfinite().all():
        reasons.append("holds values that are no numbers")
    if not other.values.isfinite().all():
        reasons.append("the randomised network's map holds values that are no numbers")
    if gap is not None and gap > COMPLETENESS:
        reasons.append(f"does not add up (median gap {gap:.0%})")
    if survived - max(chance, 0.0) > SURVIVAL or survived > UNMOVED:
        reasons.append(f"survives a randomised network (correlation {survived:.2f})")
    if excess_low is None or excess_low <= 0:
        reasons.append("its region matters no more than a random one")
    return {
        "status": "void" if reasons else "valid", "reason": "; ".join(reasons), "completeness_gap": rounded(gap),
        "survival": rounded(survived), "survival_chance": rounded(chance), "excess_low": rounded(excess_low),
    }  # fmt: skip
