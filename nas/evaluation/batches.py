"""Which images each step of an epoch sees, and how they are changed: drawn for the whole epoch at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.recipe import Recipe
from nas.evaluation.augmentation import Changes, draw_changes


@dataclass(frozen=True)
class EpochPlan:
    """An epoch, drawn: ``indices`` int64 (steps, batch) and the changes of the steps · batch images in the same order."""

    indices: Tensor
    changes: Changes

    def to(self, device: torch.device) -> EpochPlan:
        """The same on the training device, copied once for the epoch."""
        return EpochPlan(self.indices.to(device, non_blocking=True), self.changes.to(device))


def epoch_seed(seed: int, epoch: int) -> int:
    """A 63-bit seed of one epoch: resuming at an epoch needs no state of generators."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])


def batch_size_for(recipe: Recipe, n: int) -> int:
    """The recipe's batch size, but never more than there are images."""
    return max(1, min(recipe.batch_size, n))


def steps_per_epoch(recipe: Recipe, n: int) -> int:
    """Steps that show about as many images as there are; every batch is full."""
    return max(1, round(n / batch_size_for(recipe, n)))


def plan_epoch(
    indices: NDArray[np.int64],
    labels: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    epoch: int,
    sources: NDArray[np.int64] | None = None,
) -> EpochPlan:
    """Draw an epoch.

    Args:
        indices: the training images, (n,).
        labels: their classes, (n,).
        sources: codes of their sources, (n,): where given, the sources of a class share its draws equally.

    With ``recipe.class_balanced``, or with sources, every class fills the same share of each epoch, whatever its size; images
    of a class (and source) come in random order, each as often as any other of it (±1). Else images come in random order, as
    many as fill the steps.
    """
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    batch, steps = batch_size_for(recipe, len(indices)), steps_per_epoch(recipe, len(indices))
    columns = [labels] if recipe.class_balanced else []
    if sources is not None:
        columns = [labels, sources]  # sources balanced by themselves would still tell of the class
    chosen = _balanced(columns, np.arange(len(indices)), steps * batch, generator)
    changes = draw_changes(recipe.augmentation, steps * batch, generator)
    return EpochPlan(torch.from_numpy(np.asarray(indices)).to(torch.int64)[chosen].view(steps, batch), changes)


def _cycle(n: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` positions out of n: permutation after permutation."""
    rounds = -(-count // n)
    return torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:count]


def _balanced(columns: list[NDArray[np.int64]], members: NDArray[np.int64], count: int, generator: torch.Generator) -> Tensor:
    """Positions whose values of the first column take turns in random order, and so on within each value by the next column.

    Every run of as many draws as there are values holds each value once.
    """
    if not columns:
        return torch.from_numpy(members)[_cycle(len(members), count, generator)]
    values = columns[0][members]
    present = np.unique(values)
    rounds = -(-count // len(present))
    order = torch.rand(rounds, len(present), generator=generator).argsort(dim=1).flatten()
    chosen = torch.empty(rounds * len(present), dtype=torch.int64)
    for position, value in enumerate(present):
        chosen[order == position] = _balanced(columns[1:], members[values == value], rounds, generator)
    return chosen[:count]
