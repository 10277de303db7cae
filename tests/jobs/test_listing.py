"""nas list: a plug-in that does not work is a row of the list, not its end."""

from __future__ import annotations

import pytest
from torch import nn

from baselines import Baseline, Recipe, get_baseline
from baselines.registry import _registry
from nas.jobs.listing import listing


def broken(classes: int, in_channels: int, image_size: int) -> nn.Module:
    raise KeyError("width")


def test_a_baseline_that_cannot_be_built_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"broken": Baseline("broken", "Broken", broken, Recipe(), paper_size=32), "cnn_lstm": get_baseline("cnn_lstm")}
    monkeypatch.setattr(_registry, "_entries", entries)
    first, second = listing("baselines")
    assert first["description"] == "Broken: not built, KeyError: 'width'"
    assert first["flops"] is None
    assert second["flops"] == 13_601_308_864
