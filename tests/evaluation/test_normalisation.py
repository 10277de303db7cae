"""Statistics of normalisation: the plain average over clean images, frozen layers left alone, less noise in validation."""

import numpy as np
import pytest
import torch

import nas.evaluation.trainer as trainer
from baselines.recipe import Recipe
from nas.evaluation import train
from nas.evaluation.normalisation import normalisation_layers, reestimate


def test_running_statistics_become_those_of_the_clean_images(tiny, striped):
    model, rows = tiny(), torch.arange(128)
    reestimate(model, striped, rows)
    inputs = model.features[0](striped.images[rows].float() / 255)
    layer = model.features[1]
    torch.testing.assert_close(layer.running_mean, inputs.mean(dim=(0, 2, 3)), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(layer.running_var, inputs.var(dim=(0, 2, 3)), atol=1e-3, rtol=0.02)
    assert layer.momentum == 0.1


def test_frozen_layers_keep_theirs(tiny, striped):
    model = tiny()
    model.features[1].requires_grad_(False)
    before = model.features[1].running_mean.clone()
    reestimate(model, striped, torch.arange(64))
    assert torch.equal(model.features[1].running_mean, before)
    assert normalisation_layers(model) == [model.features[4]]


def test_training_itself_is_not_changed_but_validation_is_steadier(tiny, striped, monkeypatch):
    """The weights are those of a training without it; the validation loss jumps less from epoch to epoch."""
    recipe = Recipe(epochs=8, batch_size=16, learning_rate=0.03, schedule="constant")
    jumps, weights = [], []
    for switched_on in (True, False):
        if not switched_on:
            monkeypatch.setattr(trainer, "reestimate", lambda *_: None)
        model = tiny(dropout=0.0)
        history = train(model, striped, np.arange(160), np.arange(160, 240), recipe, seed=0).history
        losses = np.array([record.validation["log_loss"] for record in history])
        jumps.append(np.abs(np.diff(np.log(losses))).mean())
        weights.append(model.head.weight.detach())
    assert torch.equal(*weights)
    assert jumps[0] < 0.7 * jumps[1]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_change_nothing(tiny, striped, n):
    model = tiny()
    before = model.features[1].running_mean.clone()
    reestimate(model, striped, torch.arange(n))
    assert torch.equal(model.features[1].running_mean, before)
