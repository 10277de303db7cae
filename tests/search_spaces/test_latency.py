"""Latency: the procedure, on a clock that we set."""

from __future__ import annotations

import itertools

import pytest
from torch import nn

from search_spaces import InputError
from search_spaces.latency import Latency, measure_latency


def test_median_and_interval_on_a_known_clock():
    durations = itertools.chain([1.0] * 40, itertools.cycle([0.010, 0.012, 0.014]))
    now = 0.0

    def clock() -> float:
        return now

    class Slow(nn.Module):
        def forward(self, x):
            nonlocal now
            now += next(durations)
            return x

    found = measure_latency(Slow(), 8, warm_up=39.5, passes=30, clock=clock)
    assert found.passes == 30
    assert found.median == pytest.approx(12.0)
    assert found.low <= found.median <= found.high
    assert found.tenth == pytest.approx(10.0)
    assert (found.within(20), found.within(5), found.within(found.median)) == (True, False, None)


def test_time_limit_still_leaves_a_spread():
    assert measure_latency(nn.Conv2d(1, 2, 3), 16, warm_up=0, passes=1000, seconds=0).passes == 5


def test_too_few_passes_are_refused():
    with pytest.raises(InputError, match="at least 5"):
        measure_latency(nn.Identity(), 8, passes=3)


def test_latency_is_plain_data():
    found = measure_latency(nn.Conv2d(1, 2, 3), 16, warm_up=0, passes=5, batch=2)
    assert isinstance(found, Latency)
    assert found.to_json()["batch"] == 2
