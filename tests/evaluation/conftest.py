"""A hand-made network and data that a small network learns in seconds."""

import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation import DeviceData


class TinyNet(nn.Module):
    """Two convolutions, normalisation, dropout, a linear head."""

    def __init__(self, classes=3, dropout=0.1):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        return self.head(self.dropout(self.features(images).mean(dim=(2, 3))))


def make_images(n, size=24, seed=0):
    """Three classes by texture: flat, horizontal stripes, vertical stripes, under noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    stripes = 60.0 * (np.arange(size) % 4 < 2)
    pattern = np.stack([np.zeros((size, size)), np.tile(stripes[:, None], (1, size)), np.tile(stripes, (size, 1))])
    images = pattern[labels] + rng.normal(100, 20, (n, size, size))
    return np.clip(images, 0, 255).astype(np.uint8)[:, None], labels.astype(np.int64)


@pytest.fixture
def tiny():
    """A freshly seeded small network, and the factory that makes another."""

    def build(seed=0, **options):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TinyNet(**options)

    return build


@pytest.fixture(scope="session")
def striped():
    """240 images on the CPU."""
    images, labels = make_images(240)
    return DeviceData.from_tensors(torch.from_numpy(images), torch.from_numpy(labels), 3)
