"""The CUDA step's logic as far as a CPU shows it: warm-up steps count as training, failures fall back and say why."""

import numpy as np
import pytest
import torch

from baselines.recipe import Recipe
from nas.evaluation import DeviceData, predict_logits, train
from nas.evaluation.device import fits, lies_on
from nas.evaluation.optimisation import make_optimiser, parameter_groups
from nas.evaluation.profile import Account
from nas.evaluation.step import WARM_UP_STEPS, GraphStep, TrainingStep, make_step

CPU = torch.device("cpu")


class FakeGraph:
    """Stands in for torch.cuda.CUDAGraph: replaying runs what was recorded."""

    replays = 0

    def replay(self):
        FakeGraph.replays += 1


def prepared(tiny, kind):
    model, recipe = tiny(dropout=0.0), Recipe()
    return kind(model, make_optimiser(parameter_groups(model, recipe), recipe, CPU), recipe, CPU), model


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, 1, 24, 24, generator=generator), torch.arange(8) % 3


def test_a_step_that_cannot_be_captured_goes_on_eagerly_and_says_why(tiny, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    (graph, captured), (eager, plain) = prepared(tiny, GraphStep), prepared(tiny, TrainingStep)
    for _ in range(WARM_UP_STEPS + 3):
        graph(*batch(), Account())
        eager(*batch(), Account())
    assert graph.fallback == "the step could not be captured as a CUDA graph: operation not permitted when stream is capturing"
    for first, second in zip(captured.parameters(), plain.parameters(), strict=True):
        assert torch.equal(first, second)
    assert torch.equal(graph.loss_sum, eager.loss_sum)


class Recording:
    """Stands in for torch.cuda.graph: what is recorded runs."""

    def __init__(self, graph, stream):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    FakeGraph.replays = 0


def test_a_captured_step_copies_its_inputs_and_replays(tiny, recorded):
    step, _ = prepared(tiny, GraphStep)
    images, labels = batch()
    for _ in range(WARM_UP_STEPS + 2):
        step(images + 0.25, labels.flip(0), Account())
    assert FakeGraph.replays == 2
    assert torch.equal(step._images, images + 0.25)
    assert torch.equal(step._labels, labels.flip(0))


def test_weights_that_have_moved_are_captured_anew(tiny, recorded):
    step, model = prepared(tiny, GraphStep)
    for _ in range(WARM_UP_STEPS + 1):
        step(*batch(), Account())
    first = step._graph
    step.begin()
    step(*batch(), Account())
    assert step._graph is first
    weight = next(model.parameters())
    weight.data = weight.data.clone()
    step.begin()
    step(*batch(), Account())
    assert step._graph is not first
    assert step._captured[0] == weight.data_ptr()


def test_prediction_moves_no_model_that_is_there_already(tiny, striped, monkeypatch):
    model = tiny()
    monkeypatch.setattr(model, "to", lambda *_: pytest.fail("moved"))
    predict_logits(model, striped, indices=np.arange(4))
    assert lies_on(model, CPU)
    assert not lies_on(model, torch.device("cuda", 0))


def test_the_cpu_takes_the_eager_step(tiny):
    model, recipe = tiny(), Recipe()
    optimiser = make_optimiser(parameter_groups(model, recipe), recipe, CPU)
    assert type(make_step(model, optimiser, recipe, CPU)) is TrainingStep
    assert optimiser.defaults["fused"]


@pytest.mark.parametrize(("asked", "reduced"), [(None, False), ("float32", False), ("bfloat16", True)])
def test_training_and_prediction_compute_in_the_precision_of_the_data(tiny, striped, asked, reduced):
    seen = set()
    model = tiny()
    convolution = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda module, given, out: seen.add((module.training, out.dtype)))
    data = DeviceData.from_tensors(striped.images, striped.labels, 3, precision=asked)
    rows = np.arange(32)
    train(model, data, rows[:16], rows[16:], Recipe(epochs=1), seed=0)
    dtype = torch.bfloat16 if reduced else torch.float32
    assert seen == {(True, dtype), (False, dtype)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert predict_logits(model, data, indices=rows).dtype == np.float32
    assert data.at_size(24).precision == data.precision


def test_images_that_do_not_fit_stay_on_the_host(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 10_000))
    assert fits(600, torch.device("cuda"))
    assert not fits(601, torch.device("cuda"))
    assert fits(10**12, CPU)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()],
    ids=repr,
)
def test_prediction_halves_its_batch_when_memory_runs_out(striped, error):
    class Narrow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, images):
            self.seen.append(len(images))
            if len(images) > 8:
                raise error
            return images.mean(dim=(2, 3)).expand(-1, 3)

    model = Narrow()
    logits = predict_logits(model, striped, indices=np.arange(20), batch=30)
    assert model.seen == [20, 15, 7, 7, 6]
    np.testing.assert_allclose(logits[:, 0], striped.images[:20].float().mean(dim=(1, 2, 3)) / 255, rtol=1e-5)


def test_prediction_restores_modes_and_takes_arrays(tiny, striped):
    model = tiny().train()
    model.features[1].eval()
    by_array = predict_logits(model, striped.images.numpy()[:10], "cpu")
    np.testing.assert_allclose(by_array, predict_logits(model, striped, indices=np.arange(10)), atol=1e-6)
    assert model.training
    assert not model.features[1].training
    assert predict_logits(model, striped.images.numpy()[:0]).shape[0] == 0


def test_data_at_another_size_is_made_once(striped):
    small = striped.at_size(12)
    assert small is striped.at_size(12)
    assert small.images.shape == (240, 1, 12, 12)
    assert striped.at_size(None) is striped.at_size(24) is striped


def test_a_read_only_memory_map_is_shared_not_copied(tmp_path):
    file = tmp_path / "images.npy"
    np.save(file, np.zeros((4, 1, 8, 8), dtype=np.uint8))
    mapped = np.load(file, mmap_mode="r")
    from nas.evaluation.device import shared_tensor

    assert shared_tensor(mapped).data_ptr() == mapped.ctypes.data


def test_wrong_images_are_refused():
    from search_spaces.errors import InputError

    with pytest.raises(InputError, match="uint8"):
        DeviceData.from_tensors(torch.zeros(2, 1, 8, 8), torch.zeros(2), 1)
