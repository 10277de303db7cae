"""Training: it learns, it is deterministic, it survives interruption, and it fails with a reason."""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.recipe import Augmentation, Recipe
from nas.evaluation import DeviceData, DivergedError, TrainingError, predict_logits, train
from nas.evaluation.quality import balanced_accuracy
from nas.evaluation.trainer import SEARCHED_STEPS, _kernel_search
from search_spaces.errors import InputError

TRAIN, HELD_OUT = np.arange(160), np.arange(160, 240)
RECIPE = Recipe(epochs=4, batch_size=16, augmentation=Augmentation(rotation=5, translation=0.05))


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def test_it_learns(tiny, striped):
    model = tiny()
    training = train(model, striped, TRAIN, HELD_OUT, RECIPE.model_copy(update={"epochs": 6}), seed=0)
    assert balanced_accuracy(training.validation_logits, striped.host_labels[HELD_OUT]) > 0.9
    assert training.history[-1].train_loss < training.history[0].train_loss
    assert not any(module.training for module in model.modules())  # ready to predict with, as the docstring says
    np.testing.assert_array_equal(training.validation_logits, predict_logits(model, striped, indices=HELD_OUT))
    assert {"data", "augmentation", "forward", "backward", "optimiser", "evaluation"} <= set(training.seconds)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone(tiny, striped):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = tiny(), tiny(), tiny()
    train(first, striped, TRAIN, HELD_OUT, RECIPE, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)  # what the caller draws in between must not matter
    train(second, striped, TRAIN, HELD_OUT, RECIPE, seed=1)
    train(other, striped, TRAIN, HELD_OUT, RECIPE, seed=2)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "plateau", "step_epochs": 1, "step_factor": 0.5},
        {"optimiser": "sgd"},
        {"early_stopping": 3},
        {"optimiser": "rmsprop"},
    ],
    ids=str,
)
def test_interrupted_and_resumed_equals_uninterrupted(tiny, striped, tmp_path, changes):
    recipe = RECIPE.model_copy(update=changes)
    whole, parted = tiny(), tiny()
    expected = train(whole, striped, TRAIN, HELD_OUT, recipe, seed=3)
    rung = train(parted, striped, TRAIN, HELD_OUT, recipe, seed=3, checkpoint=tmp_path / "state", max_epochs=2)
    assert not rung.complete
    resumed = tiny(seed=9)  # other weights: all of them must come from the file
    result = train(resumed, striped, TRAIN, HELD_OUT, recipe, seed=3, checkpoint=tmp_path / "state")
    assert result.complete
    assert torch.equal(weights(whole), weights(resumed))
    np.testing.assert_array_equal(expected.validation_logits, result.validation_logits)
    assert [r.train_loss for r in expected.history] == [r.train_loss for r in result.history]


def test_killed_inside_an_epoch_resumes_from_the_last_whole_one(tiny, striped, tmp_path):
    class Stop(Exception):
        pass

    def stop(record):
        if record.epoch == 3:
            raise Stop

    whole, killed = tiny(), tiny()
    train(whole, striped, TRAIN, HELD_OUT, RECIPE, seed=3)
    with pytest.raises(Stop):
        train(killed, striped, TRAIN, HELD_OUT, RECIPE, seed=3, checkpoint=tmp_path / "c", on_epoch=stop)
    seen = []
    train(killed, striped, TRAIN, HELD_OUT, RECIPE, seed=3, checkpoint=tmp_path / "c", on_epoch=lambda r: seen.append(r.epoch))
    assert seen == [1, 2, 3, 4]
    assert torch.equal(weights(whole), weights(killed))


def test_a_checkpoint_of_another_training_is_refused(tiny, striped, tmp_path):
    train(tiny(), striped, TRAIN, HELD_OUT, RECIPE, seed=3, checkpoint=tmp_path / "c", max_epochs=1)
    with pytest.raises(InputError, match="another training"):
        train(tiny(), striped, TRAIN, HELD_OUT, RECIPE, seed=4, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("damaged", [("c.safetensors",), ("c.safetensors", "c.previous.safetensors")], ids=["last", "both"])
@pytest.mark.parametrize("harm", ["a flipped bit", "a cut", "rubbish", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_ends_the_same(tiny, striped, tmp_path, damaged, harm):
    whole, parted = tiny(), tiny()
    expected = train(whole, striped, TRAIN, HELD_OUT, RECIPE, seed=3)
    for epochs in (1, 2):
        train(parted, striped, TRAIN, HELD_OUT, RECIPE, seed=3, checkpoint=tmp_path / "c", max_epochs=epochs)
    for name in damaged:
        content = bytearray((tmp_path / name).read_bytes())
        content[-100] ^= 1  # in the last tensor, which safetensors itself does not check
        changed = {"a flipped bit": bytes(content), "a cut": bytes(content[:-1]), "rubbish": b"rubbish"}
        (tmp_path / name).unlink()
        if harm in changed:
            (tmp_path / name).write_bytes(changed[harm])
    told = []
    resumed = tiny()  # with nothing left it trains from these weights
    result = train(resumed, striped, TRAIN, HELD_OUT, RECIPE, seed=3, checkpoint=tmp_path / "c", on_epoch=told.append)
    assert [r.epoch for r in told] == [1, 2, 3, 4]  # those before the interruption first
    assert told == list(result.history)
    assert torch.equal(weights(whole), weights(resumed))
    np.testing.assert_array_equal(expected.validation_logits, result.validation_logits)


def test_divergence_is_named(tiny, striped):
    recipe = RECIPE.model_copy(update={"learning_rate": 1e30, "warmup": 0.0, "gradient_clip": 0.0, "optimiser": "sgd"})
    with pytest.raises(DivergedError, match="lower the learning rate") as caught:
        train(tiny(), striped, TRAIN, HELD_OUT, recipe, seed=0)
    assert caught.value.reason == "diverged"


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 1 TiB")],
    ids=str,
)
def test_out_of_memory_is_a_reason_not_a_crash(striped, error):
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, images):
            raise error

    with pytest.raises(TrainingError) as caught:
        train(Greedy(), striped, TRAIN, HELD_OUT, RECIPE, seed=0)
    assert caught.value.reason == "out of memory"


def test_early_stopping_keeps_the_best_epoch(tiny, striped):
    recipe = Recipe(epochs=30, batch_size=16, learning_rate=0.05, schedule="constant", early_stopping=2)
    model, rng = tiny(), np.random.default_rng(0)
    labels = np.where(rng.random(240) < 0.3, rng.integers(0, 3, 240), striped.host_labels)  # noise, so that it overfits
    noisy = DeviceData.from_tensors(striped.images, torch.from_numpy(labels), 3)
    training = train(model, noisy, TRAIN[:60], HELD_OUT, recipe, seed=0)
    losses = [record.validation["log_loss"] for record in training.history]
    assert len(losses) < 30
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    from nas.evaluation import quality

    assert quality(training.validation_logits, labels[HELD_OUT])[0] == pytest.approx(min(losses), abs=1e-6)


def test_only_the_head_learns(tiny, striped):
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, striped, TRAIN, HELD_OUT, RECIPE.model_copy(update={"trainable": "head"}), seed=0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_other_labels_and_another_size(tiny, striped):
    class SubClasses(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = tiny(classes=6)

        def forward(self, images):
            assert images.shape[-1] == 16
            logits = self.net(images)
            return logits if self.training else logits.view(len(logits), 3, 2).logsumexp(2)

    labels = torch.from_numpy(striped.host_labels[TRAIN] * 2 + np.arange(160) % 2)
    training = train(SubClasses(), striped, TRAIN, HELD_OUT, RECIPE, seed=0, training_labels=labels, image_size=16)
    assert training.validation_logits.shape == (80, 3)


def test_no_training_images_is_an_error(tiny, striped):
    with pytest.raises(InputError, match="at least one image"):
        train(tiny(), striped, np.array([], dtype=np.int64), HELD_OUT, RECIPE, seed=0)


@pytest.mark.parametrize(
    ("device", "steps", "searched"),
    [("cpu", SEARCHED_STEPS, False), ("cuda", SEARCHED_STEPS, True), ("cuda", SEARCHED_STEPS - 1, False)],
)
def test_kernels_are_searched_for_long_trainings_on_cuda_alone(device, steps, searched):
    before = torch.backends.cudnn.benchmark
    with _kernel_search(torch.device(device), steps):
        assert torch.backends.cudnn.benchmark is searched
    assert torch.backends.cudnn.benchmark is before


def test_what_a_network_has_frozen_is_not_trained(tiny, striped):
    model = tiny()
    model.features.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, striped, np.arange(120), np.arange(120, 240), Recipe(epochs=1), seed=0)
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {name for name in before if name.startswith("features")}
    assert not any(p.requires_grad for p in model.features.parameters())
