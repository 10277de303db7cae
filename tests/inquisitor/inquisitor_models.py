"""Small models and settings that the inquisitor's tests share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.dataset import Dataset
from nas.inquisitor import Settings

CLASSES = ("normal", "pneumonia")
SIZE = 48
SETTINGS = Settings(recipients=400, entries=400, permutations=199, map_recipients=60, map_cells=4)


class Reader(nn.Module):
    """A model by construction: a rule from images to evidence (n,) for the second of two classes."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, images: Tensor) -> Tensor:
        evidence = self.rule(images)
        return torch.stack([-evidence, evidence], dim=1)


def common_lung(data: Dataset) -> np.ndarray:
    """Pixels that lie inside every lung mask, bool (H, W)."""
    return data.masks().all(axis=0)


def halves(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower half of a region, bool (H, W) each."""
    middle = int(np.median(np.flatnonzero(inside.any(axis=1))))
    rows = np.arange(len(inside))[:, None]
    return inside & (rows < middle), inside & (rows >= middle)


def small_net(classes: int = 2, seed: int = 0) -> nn.Module:
    """An untrained convolutional network with blocks named as the search spaces name theirs."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        stage1 = nn.Sequential()
        stage1.add_module("block1", nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU()))
        stage1.add_module("block2", nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()))
        net = nn.Sequential()
        net.add_module("stage1", stage1)
        net.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)))
    return net
