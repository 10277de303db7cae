"""What every baseline promises: builds at small sizes, learns, survives saving, refuses what it cannot take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from baselines import Baseline, Recipe, baseline_names, get_baseline, leave_as_built, resolve
from baselines.layers import last_layer, penultimate_features, seeded
from nas.evaluation import DeviceData, quality, train
from search_spaces.errors import InputError

NAMES = baseline_names()
SIDE = 64


def pictures(n: int = 3, side: int = SIDE) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(0))


def built(baseline: Baseline, side: int = SIDE, classes: int = 3) -> nn.Module:
    return seeded(0, lambda: baseline.build(classes, 3, side))


class Fold:
    """Nine images in three classes to train on, three to validate on."""

    images = (pictures(9) * 255).byte()
    labels = torch.arange(9) % 3
    validation_images = (pictures(3) * 255).byte()
    validation_labels = torch.arange(3)


def one_step(
    model: nn.Module,
    recipe: Recipe,
    *,
    labels: Tensor | None = None,
    n_classes: int | None = None,
    image_size: int | None = None,
) -> float:
    """A training function in miniature: one step of gradient descent on the fold, then the validation loss."""
    side = image_size or SIDE
    resized = functional.interpolate(Fold.images.float() / 255, size=(side, side))
    recipe = resolve(recipe, (3, 3, 3), model)
    parameters = list(model.parameters())
    assert len(recipe.layer_rates) <= len(parameters)
    model.train()
    loss = functional.cross_entropy(model(resized), Fold.labels if labels is None else labels)
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad
                parameter.grad = None
    model.eval()
    with torch.no_grad():
        value = functional.cross_entropy(model(Fold.validation_images.float() / 255), Fold.validation_labels)
    return float(value)


@pytest.mark.parametrize("name", NAMES)
def test_forward_backward_and_saving(name: str, tmp_path: Path) -> None:
    model = built(get_baseline(name)).eval()
    with torch.no_grad():
        logits = model(pictures())
    assert logits.shape == (3, 3)
    assert bool(torch.isfinite(logits).all())
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = seeded(1, lambda: get_baseline(name).build(3, 3, SIDE)).eval()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(other(pictures()), logits)
    before = [parameter.detach().clone() for parameter in (next(model.parameters()), last_layer(model).weight)]
    for recipe in (get_baseline(name).recipe, Recipe()):
        assert one_step(model, recipe) > 0
    after = [next(model.parameters()), last_layer(model).weight]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm._flat_weights:UserWarning")  # torch's own LSTM
@pytest.mark.parametrize("name", NAMES)
def test_export(name: str) -> None:
    """Traced to one graph by shapes alone: nothing in a forward pass depends on values."""
    baseline = get_baseline(name)
    with torch.device("meta"):
        model = baseline.build(3, 3, baseline.minimum_size).eval()
        picture = torch.empty(2, 1, baseline.minimum_size, baseline.minimum_size)
    program = torch.export.export(model, (picture,), strict=False)
    assert program.module()(picture).shape == (2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_too_small_images_are_refused_with_the_smallest_size(name: str) -> None:
    baseline = get_baseline(name)
    with pytest.raises(InputError, match=rf"{name}; it needs at least {baseline.minimum_size} pixels"):
        baseline.build(3, 3, baseline.minimum_size - 1)
    with torch.no_grad(), torch.device("meta"):
        model = baseline.build(2, 1, baseline.minimum_size).eval()
        assert model(torch.empty(1, 1, baseline.minimum_size, baseline.minimum_size)).shape == (1, 2)


@pytest.mark.parametrize("name", [name for name in NAMES if get_baseline(name).fit])
def test_staged_training_takes_the_paper_and_a_shared_recipe(name: str) -> None:
    baseline = get_baseline(name)
    assert baseline.fit is not None
    recipes = (baseline.recipe.model_copy(update={"epochs": 2, "search_trials": 2}), Recipe(epochs=1))
    for recipe in recipes if baseline.fit_is_method else recipes[:1]:
        model = baseline.fit(one_step, Fold(), classes=3, image_size=SIDE, recipe=recipe, seed=0, initialise=leave_as_built)
        with torch.no_grad():
            assert model.eval()(pictures()).shape == (3, 3)


@pytest.mark.parametrize("name", NAMES)
def test_declared_facts(name: str) -> None:
    baseline = get_baseline(name)
    assert baseline.recipe.name == "paper"
    assert baseline.title
    assert not baseline.leaks
    for figure in baseline.published.values():
        if figure.unit == "%" and figure.k is not None and figure.n is not None:
            assert abs(100 * figure.k / figure.n - figure.value) < 0.06


@pytest.mark.parametrize("name", ["covidnet", "covidnet_small", "covidnet_cxr2", "vgg19", "resnet50", "sgdm_squeezenet"])
def test_where_a_paper_picked_the_epoch_by_its_test_images_validation_does(name: str) -> None:
    """Pictures of noise: validation is best early, whatever is trained."""
    recipe = get_baseline(name).recipe
    assert recipe.early_stopping == recipe.epochs  # as many as the paper's
    images = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = DeviceData.from_tensors(images, torch.arange(60) % 2, 2)
    model = seeded(0, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)))
    changes = {"epochs": 6, "learning_rate": 0.03}
    result = train(model, data, np.arange(40), np.arange(40, 60), recipe.model_copy(update=changes), seed=0)
    losses = [record.validation["log_loss"] for record in result.history]
    assert len(losses) == 6
    assert losses[-1] > min(losses)
    assert quality(result.validation_logits, np.arange(40, 60) % 2)[0] == pytest.approx(min(losses))


def test_features_before_the_last_layer() -> None:
    for name, width in (("detrac", 512), ("sgdm_squeezenet", 512), ("densenet169", 256)):
        assert penultimate_features(built(get_baseline(name)).eval(), pictures()).shape == (3, width)


def test_unknown_names_classes_channels_and_options() -> None:
    with pytest.raises(InputError, match="unknown baseline 'vgg'; known: cnn"):
        get_baseline("vgg")
    with pytest.raises(InputError, match="'vgg19' has no options"):
        get_baseline("vgg19:depth=2")
    with pytest.raises(InputError, match="not of the form option=value"):
        get_baseline("detrac:depth")
    with pytest.raises(InputError, match=r"given twice in 'detrac:k=2\+k=3'"):
        get_baseline("detrac:k=2+k=3")
    with pytest.raises(InputError, match="in_channels must be 1 or 3, but got 2"):
        get_baseline("cnn").build(3, 2, 64)
    with pytest.raises(InputError, match="at least 2 classes"):
        get_baseline("cnn").build(1, 3, 64)
