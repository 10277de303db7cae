"""T12: an architecture that can see a cue takes it up the more the stronger it is; one that cannot does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from baselines.recipe import Augmentation, Recipe
from nas.inquisitor import susceptibility
from search_spaces.errors import InputError

STILL = Augmentation(rotation=0, translation=0, zoom=0, flip=0, brightness=0, contrast=0)
RECIPE = Recipe(epochs=6, batch_size=20, learning_rate=0.1, augmentation=STILL)


class Patch(nn.Module):
    """Sees the mean of one part of the picture, and nothing else."""

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns
        self.last = nn.Linear(1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(images[:, 0, self.rows, self.columns].amax(1).mean(1, keepdim=True) * 4)


def test_reliance_rises_with_strength_only_where_the_cue_can_be_seen():
    frame, middle = slice(0, 3), slice(20, 28)
    sees = susceptibility(lambda: Patch(frame, slice(8, 48)), "frame", strengths=(0.0, 0.9), seeds=2, n=120, recipe=RECIPE)
    blind = susceptibility(lambda: Patch(middle, middle), "frame", strengths=(0.0, 0.9), seeds=2, n=120, recipe=RECIPE)
    assert sees.slope > 1
    assert np.abs(blind.reliance).max() < 1e-6  # the same patients with and without the frame look alike in the middle
    assert sees.slope == pytest.approx(np.mean([(row[1] - row[0]) / 0.9 for row in sees.reliance]), abs=1e-4)
    assert sees.interval.low <= sees.slope <= sees.interval.high


@pytest.mark.parametrize(("strengths", "seeds"), [((0.5,), 3), ((0.5, 0.5), 3), ((0.0, 0.9), 1)])
def test_a_slope_needs_two_strengths_and_an_interval_two_seeds(strengths, seeds):
    with pytest.raises(InputError, match="at least 2 strengths and 2 seeds"):
        susceptibility(lambda: nn.Linear(1, 2), strengths=strengths, seeds=seeds)
