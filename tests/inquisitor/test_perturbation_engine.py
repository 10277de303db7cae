"""The engine: bounded batches, modes put back, exact log-odds."""

from __future__ import annotations

import threading
import time
import weakref

import numpy as np
import pytest
import torch
from inquisitor_models import Reader, small_net
from numpy.testing import assert_allclose
from torch import Tensor, nn

from nas.inquisitor import Engine, Exhibits
from nas.inquisitor.engine import margins, probabilities
from nas.inquisitor.inference import agree, for_inference, replica
from search_spaces.errors import InputError


class Watching(nn.Module):
    """Remembers the largest batch it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, len(images))
        assert torch.is_inference_mode_enabled()
        return torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3))], 1)


def test_batches_are_bounded_and_every_pair_is_answered_once_in_order():
    model = Watching()
    engine = Engine(model, pixels=10 * 8 * 8)
    found = engine.logits(lambda numbers: numbers.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8), 37, 8)
    assert model.largest == 10
    assert_allclose(found[:, 0], np.arange(37), rtol=1e-6)
    assert engine.passes == 37


def test_batch_size_does_not_change_the_answers():
    images = torch.rand(30, 1, 32, 32)
    first, second = (Engine(small_net(), pixels=pixels).on_images(images) for pixels in (32 * 32, 2**20))
    assert_allclose(first, second, atol=1e-6)


class Noting(nn.Module):
    """Notes what it sees before it answers: two threads in one such network would mix their answers up."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen = torch.zeros(())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images.mean((1, 2, 3))
        assert torch.get_num_threads() == 1
        time.sleep(0.002)
        return torch.stack([self.seen * self.weight, -self.seen], 1)


@pytest.mark.parametrize("workers", [2, 3, 99])
def test_threads_give_the_very_answers_of_one(workers):
    images, model = torch.rand(60, 1, 8, 8), Noting()
    alone = Engine(model, pixels=4 * 64).on_images(images)
    engine = Engine(model, pixels=4 * 64, workers=workers)
    assert np.array_equal(engine.on_images(images), alone)
    assert np.array_equal(engine.on_images(images[:4]), alone[:4])
    assert engine.workers <= 8
    assert torch.get_num_threads() == 1


def test_an_error_in_a_thread_reaches_the_caller_and_the_threads_go_on():
    images, engine = torch.rand(60, 1, 8, 8), Engine(Noting(), pixels=4 * 64, workers=2)

    def stop(numbers: torch.Tensor) -> torch.Tensor:
        if 20 in numbers:
            raise ValueError("stop")
        return images[numbers]

    with pytest.raises(ValueError, match="stop"):
        engine.logits(stop, 60, 8)
    assert engine.on_images(images).shape == (60, 2)


def test_a_model_that_cannot_be_copied_is_asked_by_one_thread():
    images, model = torch.rand(60, 1, 8, 8), Noting()
    expected = Engine(model, pixels=4 * 64).on_images(images)
    model.held = threading.Lock()  # like an ONNX session
    assert np.array_equal(Engine(model, pixels=4 * 64, workers=3).on_images(images), expected)


def test_a_replica_shares_the_weights():
    model = small_net()
    other = replica(model)
    assert other is not model
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert all(a is b for a, b in zip(model.buffers(), other.buffers(), strict=True))


def test_modes_come_back_even_after_an_error():
    model = small_net().train()
    model.stage1.block1.eval()

    def stop(numbers: torch.Tensor) -> torch.Tensor:
        assert not any(module.training for module in model.modules())
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        Engine(model).logits(stop, 3, 8)
    assert model.training
    assert not model.stage1.block1.training


def test_nan_logits_are_an_error_that_says_how_many():
    broken = Reader(lambda images: torch.where(images.mean((1, 2, 3)) > 0.5, torch.nan, 0.0))
    images = torch.cat([torch.zeros(3, 1, 8, 8), torch.ones(2, 1, 8, 8)])
    with pytest.raises(InputError, match="2 of 5"):
        Engine(broken).on_images(images)


def test_margins_are_log_odds_also_where_softmax_saturates():
    logits = np.array([[1.0, 2.0, -0.5], [800.0, 0.0, -800.0]])
    z = margins(logits)
    p = probabilities(logits)[0]
    assert_allclose(z[0], np.log(p / (1 - p)))
    assert_allclose(z[1], [800, -800, -1600])


def test_one_logit_is_refused():
    with pytest.raises(InputError, match="at least 2 logits"):
        margins(np.zeros((3, 1)))


def test_exhibits_take_keeps_rows_together(plain):
    shown = Exhibits.gather(plain, np.array([5, 3, 8]))
    part = shown.take(np.array([2, 0]))
    assert part.rows.tolist() == [8, 5]
    assert torch.equal(part.images[1], torch.from_numpy(plain.images[5]))
    assert part.groups.tolist() == plain.group[[8, 5]].tolist()


def test_no_batchs_answer_is_kept_once_it_stands_in_the_table():
    """Thousands of small tensors that live on between large ones cut the heap to pieces: it once grew by gigabytes."""
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    class Counting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            nonlocal most
            most = max(most, sum(one() is not None for one in alive))
            found = images.mean((2, 3)).repeat(1, 2)
            alive.append(weakref.ref(found))
            return found

    images = torch.rand(60, 1, 8, 8)
    logits = Engine(Counting(), pixels=64).logits(lambda numbers: images[numbers], 60, 8)
    assert len(alive) == 60
    assert most <= 2
    assert_allclose(logits, images.mean((2, 3)).repeat(1, 2).numpy(), atol=1e-6)


def worn(model: nn.Module) -> nn.Module:
    """Running statistics as after a training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


class OneByOne(nn.Module):
    """Calls the parts of its Sequential one by one, and uses what comes out between a convolution and its normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        between = self.parts[0](images)
        return between.mean((2, 3)) + self.parts[2](self.parts[1](between)).mean((2, 3))


def test_the_faster_copy_gives_the_same_answers_and_leaves_the_model_as_it_is():
    model, images = worn(small_net()), torch.rand(9, 1, 32, 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strides = [parameter.stride() for parameter in model.parameters()]
    faster = for_inference(model)
    assert faster is not None
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in one.modules()) for one in (model, faster)]
    assert norms[1] < norms[0]
    with torch.inference_mode():
        assert agree(model(images), faster(images))
        assert not torch.equal(model(images), torch.zeros(9, 3))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [parameter.stride() for parameter in model.parameters()] == strides


def test_the_engine_uses_the_faster_copy_for_many_batches_only_and_folds_afresh(monkeypatch):
    made = []
    monkeypatch.setattr("nas.inquisitor.engine.for_inference", lambda model: made.append(for_inference(model)) or made[-1])
    model, images = worn(small_net()), torch.rand(60, 1, 32, 32)
    for workers in (1, 2):
        engine = Engine(model, pixels=10 * 32 * 32, workers=workers)
        engine.on_images(images[:30])
        assert not made
        for _ in range(2):
            with torch.inference_mode():
                expected = model(images).numpy()
            assert_allclose(engine.on_images(images), expected, atol=2e-5)
            with torch.no_grad():
                next(model.parameters()).mul_(1.5)  # weights that change between two calls are seen
        assert len(made) == 2
        made.clear()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_uses_the_parts_one_by_one_is_asked_itself(workers):
    model, images = worn(OneByOne()), torch.rand(60, 1, 16, 16)
    faster = for_inference(model)
    assert faster is not None
    with torch.inference_mode():
        expected = model(images)
        assert not agree(expected, faster(images))  # so the engine must find out
    assert_allclose(Engine(model, pixels=10 * 256, workers=workers).on_images(images), expected.numpy(), atol=1e-6)


def test_hooked_models_and_models_without_convolutions_are_not_copied():
    model, seen = worn(small_net()), []
    next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d)).register_forward_hook(
        lambda *_: seen.append(1)
    )
    assert for_inference(model) is None
    Engine(model, pixels=10 * 32 * 32).on_images(torch.rand(60, 1, 32, 32))
    assert len(seen) == 6
    assert for_inference(Watching()) is None


def test_no_number_agrees_with_nothing():
    logits = torch.tensor([[1.0, float("nan")]])
    assert not agree(logits, logits)
    assert agree(torch.tensor([[100.0, 0.0]]), torch.tensor([[100.0009, 0.0]]))
    assert not agree(torch.tensor([[100.0, 0.0]]), torch.tensor([[100.002, 0.0]]))
