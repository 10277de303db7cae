"""Which decisions mattered: the share of the candidates' quality that each decision's choice explains by itself.

For each decision, quality is replaced by its rank (one bad training must not decide) and the variance of the ranks is split
between and within the decision's choices. The between share, η², grows with the number of choices even when nothing
matters, so the bias-corrected ε² = (SS_between − (k − 1)·MS_within) / SS_total is reported (Kelley 1935). Beside it stands
what the *largest* of all decisions reaches in 95 % of random shuffles of the quality: a decision below it may be noise.
Interactions between decisions are not seen; few trials see little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.records import TrialRecord
from nas.report.structure import Chosen

FEWEST_TRIALS = 8


@dataclass(frozen=True)
class Importance:
    """``share`` of rank variance explained (≥ 0), and the rank correlation of the choice's position with quality."""

    decision: str
    share: float
    correlation: float | None  # > 0: later (larger) choices had a higher objective, that is did worse


@dataclass(frozen=True)
class Importances:
    """All decisions, most important first; ``noise`` is the 95 % quantile of the largest share under shuffling."""

    items: tuple[Importance, ...]
    noise: float
    trials: int


def importances(
    trials: Sequence[TrialRecord], orders: Mapping[str, Sequence[str]], chosen: Chosen, *, shuffles: int = 400, seed: int = 0
) -> Importances | None:
    """Importance of every decision that varied among the completed trials; ``None`` with fewer than eight of those.

    Args:
        orders: decision → its choices in order, as text.
        chosen: each trial's active choices, by the trial's key.
    """
    completed = [trial for trial in trials if trial.outcome == "completed" and trial.quality is not None]
    if len(completed) < FEWEST_TRIALS:
        return None
    quality = _ranks(np.array([trial.quality for trial in completed], dtype=float))
    codes = {name: _codes(completed, name, order, chosen) for name, order in orders.items()}
    codes = {name: code for name, code in codes.items() if 1 < len(np.unique(code)) < len(completed)}
    if not codes:
        return None
    shuffled = np.random.default_rng(seed).permuted(np.tile(quality, (shuffles, 1)), axis=1)
    largest = np.max([_shares(code, shuffled) for code in codes.values()], axis=0)
    items = [Importance(n, float(_shares(code, quality[None])[0]), _correlation(code, quality)) for n, code in codes.items()]
    items.sort(key=lambda item: -item.share)
    return Importances(tuple(items), float(np.quantile(largest, 0.95)), len(completed))


def _codes(trials: Sequence[TrialRecord], decision: str, order: Sequence[str], chosen: Chosen) -> NDArray[np.int64]:
    """Position of each trial's choice; −1 where inactive (a choice of its own)."""
    position = {choice: index for index, choice in enumerate(order)}
    return np.array([position.get(chosen[trial.key].get(decision, ""), -1) for trial in trials], dtype=np.int64)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _shares(codes: NDArray[np.int64], quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """ε² of the grouping for every row of ``quality``, float64 (rows, trials) → (rows,); never below 0."""
    values, inverse = np.unique(codes, return_inverse=True)
    member = np.eye(len(values))[inverse]  # (trials, groups)
    n, k = member.shape
    total = ((quality - quality.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    if n == k:
        return np.zeros(len(quality))
    between = ((quality @ member) ** 2 / member.sum(axis=0)).sum(axis=1) - n * quality.mean(axis=1) ** 2
    bias = (k - 1) * (total - between) / (n - k)
    return np.maximum(0.0, np.divide(between - bias, total, out=np.zeros_like(total), where=total > 0))


def _correlation(codes: NDArray[np.int64], quality: NDArray[np.float64]) -> float | None:
    """Spearman's correlation over the trials in which the decision was active."""
    active = codes >= 0
    if active.sum() < 3 or len(np.unique(codes[active])) < 2 or len(np.unique(quality[active])) < 2:
        return None
    return float(np.corrcoef(_ranks(codes[active].astype(float)), _ranks(quality[active]))[0, 1])
