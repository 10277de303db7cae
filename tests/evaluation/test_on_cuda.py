"""Training on a real CUDA device: captured steps, their results beside eager ones and the CPU's, images that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nas.evaluation.device as device_module
from baselines import Recipe, baseline_names, get_baseline
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, Training, predict_logits, train
from nas.evaluation.errors import TrainingError
from search_spaces import Budget, get_space

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
IMAGES, SIZE = 160, 64
ROWS = np.arange(128), np.arange(128, IMAGES)


def pepx() -> nn.Module:
    """A PEPX network of up to 8 MFLOPs, always the same."""
    space = get_space("pepx", classes=3)
    architecture = space.sample(np.random.default_rng(0), Budget(flops=8e6, image_size=SIZE))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return space.build(architecture, SIZE)


def data(device: str = "cuda") -> DeviceData:
    """Phantom images of three classes."""
    return DeviceData(phantom(IMAGES, SIZE, 0), device)


def trained(model: nn.Module, recipe: Recipe, where: DeviceData | None = None, **options: object) -> Training:
    """A short training on fixed rows."""
    return train(model, where or data(), *ROWS, recipe, seed=0, **options)


def losses_of(training: Training) -> list[float]:
    """Mean training loss by epoch."""
    return [epoch.train_loss for epoch in training.history]


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd", "rmsprop"])
def test_step_is_captured_whatever_the_optimiser(optimiser):
    recipe = Recipe(epochs=3, learning_rate=1e-3, optimiser=optimiser, momentum=0.9 if optimiser == "sgd" else 0.0)
    captured, eager = trained(pepx(), recipe), trained(pepx(), recipe, capture=False)
    assert captured.notes == ()
    assert losses_of(captured) == pytest.approx(losses_of(eager), abs=0.03)  # bf16, and sums in another order


@pytest.mark.parametrize("name", baseline_names())
def test_every_baseline_trains_captured(name):
    baseline = get_baseline(name)
    torch.manual_seed(0)
    model = baseline.build(3, 1, SIZE)
    training = trained(model, Recipe(epochs=2, batch_size=16))
    assert training.notes == ()
    assert np.isfinite(training.validation_logits).all()


def test_captured_training_is_the_eager_one_and_the_cpus():
    recipe = Recipe(epochs=3, learning_rate=1e-3)
    captured = trained(pepx(), recipe)
    eager = trained(pepx(), recipe, capture=False)
    cpu = trained(pepx(), recipe, data("cpu"))
    assert losses_of(captured) == pytest.approx(losses_of(eager), abs=0.03)
    assert losses_of(captured) == pytest.approx(losses_of(cpu), abs=0.06)
    for training in (captured, eager):
        rates = [epoch.learning_rate for epoch in training.history]
        assert rates == pytest.approx([epoch.learning_rate for epoch in cpu.history])


def test_a_recurrent_network_trains_captured_as_it_does_eagerly():
    """Validation between the epochs once gave its LSTM new memory, and the captured step went on training the old."""
    recipe = Recipe(epochs=6, learning_rate=2e-4, batch_size=16)

    def model() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return get_baseline("cnn_lstm").build(3, 1, SIZE)

    captured, eager = trained(model(), recipe), trained(model(), recipe, capture=False)
    assert captured.notes == ()
    assert losses_of(captured) == pytest.approx(losses_of(eager), abs=0.08)


def test_predictions_agree_with_the_cpus():
    model = pepx()
    trained(model, Recipe(epochs=2))
    on_cuda = predict_logits(model, data())
    on_cpu = predict_logits(model, data("cpu"))
    assert np.corrcoef(on_cuda.ravel(), on_cpu.ravel())[0, 1] > 0.999


def test_training_goes_on_from_a_checkpoint(tmp_path: Path):
    recipe = Recipe(epochs=4)
    whole = trained(pepx(), recipe)
    trained(pepx(), recipe, checkpoint=tmp_path / "c", max_epochs=2)
    rest = trained(pepx(), recipe, checkpoint=tmp_path / "c")
    assert losses_of(rest) == pytest.approx(losses_of(whole), abs=0.03)
    assert rest.notes == ()


def test_images_that_do_not_fit_are_fetched_as_needed(monkeypatch):
    there = trained(pepx(), Recipe(epochs=2))
    monkeypatch.setattr(device_module, "fits", lambda n_bytes, device: False)
    elsewhere = data()
    assert not elsewhere.resident
    assert elsewhere.images.is_pinned()
    fetched = trained(pepx(), Recipe(epochs=2), elsewhere)
    assert losses_of(fetched) == pytest.approx(losses_of(there), abs=0.03)
    np.testing.assert_allclose(elsewhere.means.cpu(), data().means.cpu(), atol=1e-6)


def test_smaller_images_and_answers_to_findings():
    training = trained(pepx(), Recipe(epochs=2), image_size=48)
    assert np.isfinite(training.validation_logits).all()
    answers = ("donor_swap", "marker", "frame", "style", "geometry", "source_balanced")
    answered = trained(pepx(), Recipe(epochs=2, answers=answers))
    assert np.isfinite(answered.validation_logits).all()
    assert answered.notes == ()


def test_want_of_memory_is_told():
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            torch.empty(1 << 50, device=images.device)
            return images.mean((1, 2, 3))[:, None] * self.weight

    with pytest.raises(TrainingError, match="out of memory on cuda"):
        trained(Greedy(), Recipe(epochs=1))
    assert trained(pepx(), Recipe(epochs=1)).notes == ()  # the device is as good as before
