"""One trial: what its network starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.engine.context import Context
from nas.engine.directory import RunDirectory
from nas.engine.objective import cost_record, start
from nas.engine.settings import SearchSettings
from nas.evaluation import pretraining
from nas.evaluation.checkpoint import save_checkpoint
from search_spaces import DecisionSpace


def test_a_damaged_checkpoint_is_no_reason_to_start_without_pretraining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pretraining, "PHANTOM_IMAGES", 48)
    monkeypatch.setattr(pretraining, "PHANTOM_EPOCHS", 1)
    settings = SearchSettings(data=("phantom:n=60",), image_size=32, budget="1M", pretrained="shared", device="cpu")
    context = Context.open(settings, RunDirectory(tmp_path / "run"))
    architecture = context.space.sample(np.random.default_rng(0), context.budget)
    trial = tmp_path / "trial"
    trial.mkdir()

    def same_as(first: dict[str, torch.Tensor]) -> bool:
        found = start(context, architecture, 1, trial).state_dict()
        return all(torch.equal(value, found[name]) for name, value in first.items())

    pretrained = start(context, architecture, 1, trial).state_dict()
    checkpoint = trial / "checkpoint.safetensors"
    save_checkpoint(checkpoint, {"model": pretrained}, {})
    assert not same_as(pretrained)  # an interrupted training has its weights: none are pretrained for it
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 255
    checkpoint.write_bytes(content)
    assert same_as(pretrained)
    assert not checkpoint.exists()


def test_a_record_holds_whole_numbers_where_a_cost_function_gives_fractions() -> None:
    space = DecisionSpace("thirds", {"width": (1, 2)}, flops=lambda c: 1000.4 * c["width"], parameters=lambda c: c["width"] / 3)
    record = cost_record(space, space.architecture({"width": 2}), 32)
    assert (record.flops, record.parameters, record.memory, record.image_size) == (2001, 1, 0, 32)
