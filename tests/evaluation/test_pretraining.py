"""Pretraining on the phantom: the trunk is the twin's, the last layer stays as drawn, the same seed gives the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.recipe import Recipe
from nas.evaluation import pretraining
from search_spaces.errors import ToolkitError


def small() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


def pretrained(checkpoint: Path, seed: int) -> dict[str, torch.Tensor]:
    model = small()
    pretraining.pretrain(model, 4, 32, Recipe(), seed=seed, device="cpu", checkpoint=checkpoint)
    return model.state_dict()


def test_the_trunk_learns_and_the_last_layer_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pretraining, "PHANTOM_IMAGES", 48)
    monkeypatch.setattr(pretraining, "PHANTOM_EPOCHS", 2)
    before, after = small().state_dict(), pretrained(tmp_path / "c.safetensors", 1)
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert torch.equal(after["4.weight"], before["4.weight"])
    assert torch.equal(after["0.weight"], pretrained(tmp_path / "c.safetensors", 1)["0.weight"])
    assert not torch.equal(after["0.weight"], pretrained(tmp_path / "c.safetensors", 2)["0.weight"])
    assert list(tmp_path.iterdir()) == []  # neither generation of the checkpoint


def test_it_computes_in_the_precision_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pretraining, "PHANTOM_IMAGES", 16)
    monkeypatch.setattr(pretraining, "PHANTOM_EPOCHS", 1)
    seen = set()

    class Watched(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().forward(images)
            seen.add(maps.dtype)
            return maps

    model = nn.Sequential(Watched(1, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    pretraining.phantom_state(
        model, 3, 32, Recipe(), seed=0, device="cpu", checkpoint=tmp_path / "c.safetensors", precision="bfloat16"
    )
    assert seen == {torch.bfloat16}


def test_weights_of_another_network_are_refused():
    with pytest.raises(ToolkitError, match="fit no layer"):
        pretraining.copy_trunk({"other": torch.zeros(1)}, small())
