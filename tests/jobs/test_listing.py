"""nas list: a plug-in that does not work is a row of the list, not its end."""

from __future__ import annotations

import pytest
from torch import nn

from baselines import Baseline, Recipe, get_baseline
from baselines.registry import _registry
from nas.jobs.listing import listing


def broken(classes: int, in_channels: int, image_size: int) -> nn.Module:
    raise KeyError("width")


def small(classes: int, in_channels: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 32), nn.Flatten(), nn.Linear(2, classes))


def test_a_baseline_that_cannot_be_built_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        name: Baseline(name, name.title(), build, Recipe(), paper_size=32)
        for name, build in (("broken", broken), ("small", small))
    }
    monkeypatch.setattr(_registry, "_entries", {**own, "cnn_lstm": get_baseline("cnn_lstm")})
    first, little, second = listing("baselines")
    assert first["description"] == "Broken: not built, KeyError: 'width'"
    assert first["flops"] is None
    assert little["description"] == "Small: 2.059 k parameters, 2.05 kFLOPs at 32 px"  # 2 · 32² + 3 · 2, and 5 biases more
    assert second["flops"] == 13_601_308_864
