"""A small batch of phantom chests for all edits."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from nas.data.dataset import Dataset
from nas.data.phantom import phantom
from nas.edits import donor_partners


@dataclass(frozen=True)
class Batch:
    data: Dataset
    images: Tensor  # float (n, 1, H, W)
    masks: Tensor  # bool (n, 1, H, W)
    partner: Tensor  # int64 (n,)

    @staticmethod
    def generator(seed: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def batch() -> Batch:
    data = phantom(n=12, image_size=64, seed=2, shortcut="marker@0.5", cue="always")
    images = torch.from_numpy(data.images).float() / 255
    masks = torch.from_numpy(data.masks())[:, None]
    return Batch(data, images, masks, donor_partners(12, Batch.generator(), images.device))
