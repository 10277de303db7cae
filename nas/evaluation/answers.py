"""Training options that answer the inquisitor's findings, applied to training batches before their augmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from baselines.recipe import Recipe
from nas.data.dataset import Dataset, pack_masks
from nas.evaluation.batches import epoch_seed
from nas.evaluation.device import DeviceData
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.edits.augment import Answer

SOURCE_BALANCED = "source_balanced"


class Answers:
    """The recipe's answers, ready to be applied to batches; does nothing where the recipe names none."""

    def __init__(self, recipe: Recipe, data: DeviceData, train_indices: NDArray[np.int64]) -> None:
        chosen = _chosen(recipe.answers)
        if any(answer.at_prediction for answer in chosen):
            names = ", ".join(answer.name for answer in chosen if answer.at_prediction)
            raise InputError(
                f"answer {names} changes every image, not only training ones; apply prepare_dataset to the data set first"
            )
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


def prepare_dataset(dataset: Dataset, answers: tuple[str, ...]) -> Dataset:
    """The data set under those answers that change every image, not only training ones (a crop to the lungs).

    Images without a mask are left as they are.
    """
    edits = [answer.edit for answer in _chosen(answers) if answer.at_prediction and answer.edit is not None]
    if not edits:
        return dataset
    images, masks = np.array(dataset.images), dataset.masks()
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(images), 256):
        part = slice(start, start + 256)
        picture = torch.from_numpy(images[part]).float() / 255
        inside = torch.from_numpy(masks[part])[:, None]
        for edit in edits:
            picture, inside = edit(picture, inside, generator), edit(inside.float(), inside, generator) > 0.5
        images[part] = (picture * 255).round().clamp(0, 255).byte().numpy()
        masks[part] = inside[:, 0].numpy()
    return replace(
        dataset, images=images, packed_masks=pack_masks(masks), notes=(*dataset.notes, f"prepared: {', '.join(answers)}")
    )
