"""Multi-fidelity: rungs of training, who goes on past a rung, and when a learning curve says that going on is pointless.

A promoted candidate continues from its checkpoint (``train(..., max_epochs=rung.epochs, checkpoint=...)``): no epoch is paid for twice.
The learning-rate schedule runs over the whole length, so scores of early rungs are of un-annealed networks: they rank
candidates among themselves at the same rung, and are never compared with scores of another rung.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special

from search_spaces.errors import InputError

Key = TypeVar("Key", bound=Hashable)
FEWEST_CURVES = 8  # finished curves before an extrapolation is trusted at all


@dataclass(frozen=True)
class Rung:
    """Train until ``epochs`` (counted from the start) at ``image_size``; then at most ``keep`` of the candidates go on."""

    epochs: int
    image_size: int
    keep: float


@dataclass(frozen=True)
class Rungs:
    """A ladder of rungs; the last one is full fidelity."""

    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        epochs = [rung.epochs for rung in self.rungs]
        if not epochs or epochs != sorted(set(epochs)) or epochs[0] < 1:
            raise InputError(f"rungs must train for strictly more epochs each, from 1 up, but got {epochs}")
        if any(not 0 < rung.keep <= 1 for rung in self.rungs):
            raise InputError("a rung keeps a share above 0, at most 1, of its candidates")

    @classmethod
    def halving(
        cls, epochs: int, image_size: int, *, reduction: int = 3, first: int | None = None, small_size: int | None = None
    ) -> Rungs:
        """Successive halving (Jamieson & Talwalkar 2016): from ``first`` epochs, times ``reduction`` each, up to ``epochs``.

        Args:
            reduction: one in so many candidates goes on past each rung.
            first: epochs of the first rung; by default two reductions below the whole.
            small_size: image size of all rungs but the last. Networks whose parameters depend on the size cannot continue
                at another one: ``train`` refuses their checkpoint.
        """
        if reduction < 2:
            raise InputError(f"a reduction is at least 2, but got {reduction}")
        current = first or max(1, round(epochs / reduction**2))
        marks = []
        while current < epochs:
            marks.append(current)
            current *= reduction
        early = tuple(Rung(mark, small_size or image_size, 1 / reduction) for mark in marks)
        return cls((*early, Rung(epochs, image_size, 1.0)))

    def image_epochs(self, candidates: int) -> float:
        """Training of so many candidates under these rungs, in epochs at full image size (cost grows with the pixels)."""
        total, alive, before = 0.0, candidates, 0
        for rung in self.rungs:
            total += alive * (rung.epochs - before) * (rung.image_size / self.rungs[-1].image_size) ** 2
            alive, before = promoted_count(alive, rung.keep), rung.epochs
        return total


def promoted_count(candidates: int, keep: float) -> int:
    """How many of so many candidates a rung keeps: at least one."""
    return max(1, math.floor(candidates * keep + 1e-9)) if candidates else 0


def successive_halving(candidates: Sequence[Key], run: Callable[[Key, Rung], float], rungs: Rungs) -> list[dict[Key, float]]:
    """Run all candidates up the ladder, rung by rung.

    Args:
        run: trains a candidate on to a rung and returns its loss there (lower is better; ``inf`` for a failed one).

    Returns:
        For each rung the losses of the candidates that reached it; the last entry holds the fully trained ones.
    """
    alive, results = list(candidates), []
    for rung in rungs.rungs:
        losses = {key: run(key, rung) for key in alive}
        results.append(losses)
        alive = sorted(alive, key=losses.__getitem__)[: promoted_count(len(alive), rung.keep)]
    return results


def chance_of_beating(target: float, loss: float, epoch: int, curves: Sequence[Mapping[int, float]]) -> float | None:
    """Chance that a training with ``loss`` after ``epoch`` epochs ends below ``target``, judged by finished trainings.

    Args:
        curves: loss by epoch of finished trainings of the same length.

    A straight line from the loss at this epoch to the final loss is fitted over the finished curves; the chance is that of its
    prediction (Student's t, Gaussian errors). ``None`` with fewer than 8 curves. Stopping where the chance is below r loses the
    best candidate with probability about r for each candidate that would have been best: r is the stated risk.
    """
    known = [(curve[epoch], curve[max(curve)]) for curve in curves if epoch in curve and max(curve) > epoch]
    if len(known) < FEWEST_CURVES:
        return None
    now, final = np.array(known).T
    centred = now - now.mean()
    spread = float((centred**2).sum())
    slope = float((centred * final).sum() / spread) if spread > 0 else 0.0
    predicted = float(final.mean() + slope * (loss - now.mean()))
    residuals = final - final.mean() - slope * centred
    freedom = len(known) - 2
    leverage = (loss - float(now.mean())) ** 2 / spread if spread > 0 else 0.0
    error = math.sqrt(float((residuals**2).sum()) / freedom * (1 + 1 / len(known) + leverage))
    if error == 0:
        return float(predicted < target)
    return float(special.stdtr(freedom, (target - predicted) / error))
