"""The audit on a real CUDA device says what it says on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inquisitor_models import SETTINGS, small_net

from nas.data.phantom import phantom
from nas.inquisitor import audit_model, block_probes, explain_decision
from nas.inquisitor.attribution.methods import METHODS, maps_by
from nas.inquisitor.engine import Engine, to_float

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def net(framed):
    """A small network trained on images whose frame tells the class."""
    from baselines import Recipe
    from nas.evaluation import DeviceData, train

    torch.manual_seed(0)
    model = small_net()
    train(model, DeviceData(framed), np.arange(len(framed)), np.arange(0), Recipe(epochs=6, learning_rate=6e-3), seed=0)
    return model.eval()


def test_full_audit_agrees_with_the_cpus(framed, net, tmp_path):
    fresh = phantom(400, framed.image_size, 11, framed.classes, "frame@0.9")
    there = audit_model(net, fresh, settings=SETTINGS, device="cpu")
    here = audit_model(net.cuda(), fresh, settings=SETTINGS, device="cuda", pictures_dir=tmp_path)
    assert here.verdict == there.verdict
    effects = {item.test: item.effect for item in there.tests}
    for item in here.tests:
        if item.effect is not None and effects[item.test] is not None:
            assert item.effect == pytest.approx(effects[item.test], abs=0.1), item.test


def test_two_audits_agree(framed, net):
    first, second = (audit_model(net.cuda(), framed, settings=SETTINGS, device="cuda") for _ in range(2))
    assert [item.verdict for item in first.tests] == [item.verdict for item in second.tests]


@pytest.mark.parametrize("name", METHODS.names())
def test_attribution_agrees_with_the_cpus(name, framed, net):
    images, targets = to_float(torch.from_numpy(framed.images[:4])), torch.ones(4, dtype=torch.int64)
    on_cpu = maps_by(name, Engine(net), images, targets, 0).values
    on_cuda = maps_by(name, Engine(net.cuda(), "cuda"), images.cuda(), targets.cuda(), 0).values
    assert on_cuda.is_cuda
    assert float(np.corrcoef(on_cuda.cpu().ravel(), on_cpu.ravel())[0, 1]) > (0.5 if name == "gradient_shap" else 0.99)


def test_block_probes_and_one_decision(framed, net):
    there = block_probes(net, framed, np.arange(100), device="cpu")
    here = block_probes(net.cuda(), framed, np.arange(100), device="cuda")
    assert here.keys() == there.keys()
    image, mask = framed.images[0], framed.masks(np.arange(1))[0]
    explained = explain_decision(net.cuda(), image, mask, framed, np.arange(1, len(framed)), device="cuda")
    assert sum(explained.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert explained.carried


class Recurrent(torch.nn.Module):
    """Rows of the picture read by an LSTM, whose gradients cuDNN has in training only."""

    def __init__(self, side):
        super().__init__()
        self.lstm, self.head = torch.nn.LSTM(side, 8, batch_first=True), torch.nn.Linear(8, 2)

    def forward(self, images):
        return self.head(self.lstm(images[:, 0])[0][:, -1])


def test_a_recurrent_network_has_maps(framed):
    torch.manual_seed(0)
    net = Recurrent(framed.image_size)
    images, targets = to_float(torch.from_numpy(framed.images[:4])), torch.ones(4, dtype=torch.int64)
    on_cpu = maps_by("integrated_gradients", Engine(net), images, targets, 0).values
    on_cuda = maps_by("integrated_gradients", Engine(net.cuda(), "cuda"), images.cuda(), targets.cuda(), 0).values
    assert torch.allclose(on_cuda.cpu(), on_cpu, atol=1e-3 * float(on_cpu.abs().max()))
