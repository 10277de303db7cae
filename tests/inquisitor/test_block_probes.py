"""Block probes: an idle block causes nothing, a used one something, and the network is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inquisitor_models import small_net
from torch import nn

from nas.inquisitor import SCREEN, Margins, audit_model, block_probes, probe_blocks
from nas.inquisitor.opening import InDataOrder
from nas.inquisitor.probes import block_names
from search_spaces import Budget, get_space


class Idle(nn.Module):
    """A block whose result is multiplied by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * self.scale[None, :, None, None]


class TwoPaths(nn.Module):
    """Two blocks side by side, of which the second does not reach the head."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.stage1 = nn.ModuleDict({"block1": nn.Conv2d(1, 8, 3, 2, 1), "block2": Idle()})
            self.head = nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stage1["block1"](images)
        idle = 0 * self.stage1["block2"](features)
        return 20 * self.head((features + idle).relu().mean((2, 3)))


def test_blocks_are_named_after_modules_of_the_search_spaces(plain):
    assert block_names(small_net()) == ["stage1.block1", "stage1.block2"]
    other = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert block_names(other) == ["0", "2", "5"]


def test_an_idle_block_has_no_effect_and_a_used_one_has(plain):
    model = TwoPaths()
    found = probe_blocks(model, plain, np.arange(100), seed=1, images=48)
    assert set(found) == {"stage1.block1", "stage1.block2"}
    idle, used = found["stage1.block2"], found["stage1.block1"]
    assert (idle.ablated, idle.shrunk, idle.noised) == pytest.approx((0, 0, 0), abs=1e-6)
    assert abs(used.noised) > 1e-4
    assert used.background is not None
    assert used.background > 0


@pytest.mark.parametrize("pixels", [32 * 32 * 7, 2**23])
def test_changes_of_many_blocks_in_one_batch_are_those_of_each_alone(plain, pixels, monkeypatch):
    monkeypatch.setattr("nas.inquisitor.engine.CPU_PIXELS", pixels)  # batches across changes, and one for all of them
    model, count = small_net().eval(), 20
    found = probe_blocks(model, plain, np.arange(count), images=count)
    assert {name: probe.ablated for name, probe in found.items()} == pytest.approx(
        block_probes(model, plain, np.arange(count), images=count)
    )
    images, labels = torch.from_numpy(plain.images[:count]).float() / 255, torch.from_numpy(plain.labels[:count])

    def margin(logits: torch.Tensor) -> torch.Tensor:
        own = logits.gather(1, labels[:, None])[:, 0]
        return own - logits.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)

    with torch.inference_mode():
        clean = margin(model(images))
        for name, probe in found.items():
            for change, effect in (
                (lambda x: x.mean((0, 2, 3), keepdim=True).expand_as(x), probe.ablated),
                (lambda x: (x + x.mean((0, 2, 3), keepdim=True)) / 2, probe.shrunk),
            ):
                handle = model.get_submodule(name).register_forward_hook(lambda _m, _i, out, change=change: change(out))
                lost = (clean - margin(model(images))).mean() / clean.std(correction=0)
                handle.remove()
                assert effect == pytest.approx(float(lost), abs=1e-4)


def test_probes_are_deterministic_and_leave_no_hooks(plain):
    model = small_net().train()
    first, second = (block_probes(model, plain, np.arange(60), seed=2) for _ in range(2))
    assert first == second
    assert model.training
    assert all(not module._forward_hooks for module in model.modules())


def test_without_masks_backgrounds_are_not_probed(plain):
    from dataclasses import replace

    bare = replace(plain, has_mask=np.zeros(len(plain), bool), packed_masks=np.zeros_like(plain.packed_masks))
    assert all(probe.background is None for probe in probe_blocks(small_net(), bare, np.arange(50)).values())


def test_a_full_audit_tells_what_each_block_of_our_networks_carries(plain):
    space = get_space("pepx", classes=2, image_size=plain.image_size)
    network = space.build(space.sample(np.random.default_rng(0), Budget(flops=3e5)), plain.image_size)
    few, ask = (
        plain.subset(np.arange(200)),
        {"tests": ("T1",), "settings": SCREEN, "attribution": True, "margins": Margins(competence=0)},
    )
    found = audit_model(network, few, **ask).block_importances
    assert list(found) == [name for name in network.block_names if name.startswith("stage")]
    swapped = audit_model(InDataOrder(network, (0, 1)), few, **ask).block_importances
    assert swapped == found
    assert any(found.values())
    assert audit_model(small_net(), few, **ask).block_importances == {}
