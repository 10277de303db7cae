"""COVIDiagnosis-Net's search of its training settings: keeps the best, survives divergence, writes nothing to the terminal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines import Recipe
from baselines.covidiagnosis_net import LEARNING_RATE, MOMENTUM, fit
from search_spaces.errors import ToolkitError


class Fold:
    """Nothing of it is looked at."""

    images = validation_images = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    labels = validation_labels = torch.zeros(1, dtype=torch.int64)


class Train:
    """Diverges at high rates; else the loss grows with the distance from 1e-3, and marks the network with its number."""

    def __init__(self, limit: float) -> None:
        self.limit, self.losses, self.recipes = limit, list[float](), list[Recipe]()

    def __call__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        labels: Tensor | None = None,
        n_classes: int | None = None,
        image_size: int | None = None,
    ) -> float:
        self.recipes.append(recipe)
        loss = abs(float(torch.log10(torch.tensor(recipe.learning_rate))) + 3)
        self.losses.append(loss if recipe.learning_rate < self.limit else float("inf"))
        if recipe.learning_rate >= self.limit:
            raise ToolkitError("the training loss became nan")
        with torch.no_grad():
            next(model.parameters()).fill_(len(self.recipes))
        return loss


def test_the_best_of_the_trials_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    train = Train(limit=3e-2)
    model = fit(train, Fold(), classes=3, image_size=32, recipe=Recipe(search_trials=12), seed=0)
    best = min(range(12), key=lambda index: train.losses[index]) + 1
    assert float(next(model.parameters()).detach().flatten()[0]) == best
    assert len(train.recipes) == 12
    assert all(
        LEARNING_RATE[0] <= r.learning_rate <= LEARNING_RATE[1] and MOMENTUM[0] <= r.momentum <= MOMENTUM[1]
        for r in train.recipes
    )
    assert capfd.readouterr().err == ""


def test_what_diverges_is_proposed_less() -> None:
    """Of 100 settings that are proposed behind the random ones: 69 diverged where a failure taught the sampler nothing."""
    diverged = 0
    for seed in range(5):
        train = Train(limit=3e-3)
        fit(train, Fold(), classes=3, image_size=32, recipe=Recipe(search_trials=30), seed=seed)
        diverged += sum(recipe.learning_rate >= 3e-3 for recipe in train.recipes[10:])
    assert diverged < 50


def test_when_all_fail_the_reason_is_said() -> None:
    with pytest.raises(
        ToolkitError, match="all 2 settings of the Bayesian search failed, the last because the training loss became nan"
    ):
        fit(Train(limit=0), Fold(), classes=3, image_size=32, recipe=Recipe(search_trials=2), seed=0)
