"""Data and models whose honesty is known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from inquisitor_models import CLASSES, SIZE, Reader, common_lung, halves
from torch import Tensor, nn

from nas.data.dataset import Dataset
from nas.data.phantom import phantom


@pytest.fixture(scope="session")
def plain() -> Dataset:
    """600 phantom images without a cue that means anything."""
    return phantom(600, SIZE, 5, CLASSES)


@pytest.fixture(scope="session")
def framed() -> Dataset:
    """600 phantom images whose frame tells the class."""
    return phantom(600, SIZE, 6, CLASSES, "frame@0.9")


@pytest.fixture(scope="session")
def patched(plain: Dataset) -> Dataset:
    """Disease made plain: in the second class the lower pixels inside every lung are brighter, in the first class a little."""
    rng = np.random.default_rng(0)
    gain = np.where(plain.labels == 1, rng.uniform(30, 110, len(plain)), rng.uniform(0, 60, len(plain)))
    images = plain.images.astype(np.float32)
    images[:, 0][:, halves(common_lung(plain))[1]] += gain[:, None]
    return replace(plain, images=images.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def lined(plain: Dataset) -> Dataset:
    """A bright upright line inside every lung, on 95 % of the second class and 5 % of the first: the declared blind spot."""
    rng = np.random.default_rng(1)
    inside = common_lung(plain)
    column = int(inside.sum(axis=0).argmax())
    shown = rng.random(len(plain)) < np.where(plain.labels == 1, 0.95, 0.05)
    images = plain.images.copy()
    images[np.ix_(shown, [0], inside[:, column], [column])] = 250
    return replace(plain, images=images)


@pytest.fixture(scope="session")
def frame_reader() -> nn.Module:
    """Sees the outer pixels only."""
    return Reader(
        lambda images: 12 * (torch.maximum(images[:, 0, :, :2].amax(2).mean(1), images[:, 0, :2].amax(1).mean(1)) - 0.7)
    )


@pytest.fixture(scope="session")
def patch_reader(plain: Dataset) -> nn.Module:
    """Sees fixed pixels inside every lung only: how much brighter the lower ones are than the upper ones."""
    upper, lower = (torch.from_numpy(part) for part in halves(common_lung(plain)))
    return Reader(lambda images: 15 * (images[:, 0, lower].mean(1) - images[:, 0, upper].mean(1) - 0.12))


@pytest.fixture(scope="session")
def line_reader(plain: Dataset) -> nn.Module:
    """Sees thin upright lines in the middle of the picture only."""
    inside = torch.from_numpy(common_lung(plain))
    column = int(inside.sum(dim=0).argmax())
    rows = inside[:, column]

    def rule(images: Tensor) -> Tensor:
        near = images[:, 0, rows, column - 3 : column + 4]
        sharp = near[:, :, 1:-1] - (near[:, :, :-2] + near[:, :, 2:]) / 2
        return 12 * (sharp.mean(1).amax(1) - 0.12)

    return Reader(rule)
