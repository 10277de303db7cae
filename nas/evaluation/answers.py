"""Training options that answer the inquisitor's findings, applied to training batches before their augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from baselines.recipe import Recipe
from nas.evaluation.batches import epoch_seed
from nas.evaluation.device import DeviceData
from nas.records import BY_SEARCHING_AGAIN
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.edits.augment import Answer

SOURCE_BALANCED = "source_balanced"


class Answers:
    """The recipe's answers, ready to be applied to batches; does nothing where the recipe names none."""

    def __init__(self, recipe: Recipe, data: DeviceData, train_indices: NDArray[np.int64]) -> None:
        chosen = _chosen(recipe.answers)
        for name in set(recipe.answers) & set(BY_SEARCHING_AGAIN):
            raise InputError(f"answer {name} changes all images, not training ones alone; {BY_SEARCHING_AGAIN[name]}")
        self.names = tuple(answer.name for answer in chosen if answer.edit is not None)
        self.data = data
        self._generator = torch.Generator(device=data.device)
        self.sources: NDArray[np.int64] | None = None
        if SOURCE_BALANCED in recipe.answers:
            if data.dataset is None:
                raise InputError("answer source_balanced needs a data set with sources, but got bare images")
            self.sources = np.unique(data.dataset.source[train_indices], return_inverse=True)[1].astype(np.int64)

    def start(self, seed: int, epoch: int) -> None:
        """Seed an epoch's edits."""
        self._generator.manual_seed(epoch_seed(seed ^ 0x5EED, epoch))

    def apply(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Edited images in 0..255, float (n, 1, H, W), with their new means in [0, 1], (n,); the images themselves without answers."""
        if not self.names:
            return images, None
        from nas.edits.augment import apply_answers

        edited = apply_answers(images.float() / 255, self.data.masks(rows), self.names, self._generator)
        return edited * 255, edited.mean(dim=(1, 2, 3))


def _chosen(names: tuple[str, ...]) -> list[Answer]:
    """The named answers; the edits are imported only where there are any."""
    if not names:
        return []
    from nas.edits.augment import get_answer

    return [get_answer(name) for name in names]
