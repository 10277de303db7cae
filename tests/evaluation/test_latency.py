"""Measured speed as metrics, and as what a search may demand."""

from __future__ import annotations

import pytest
from torch import nn

from nas.engine.requirements import judge, parse_requirement, violation
from nas.evaluation.latency import BATCH, latency, throughput

MODEL = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_latency_and_throughput_have_intervals_and_say_where():
    one, many = latency(MODEL, 16, "cpu"), throughput(MODEL, 16, "cpu")
    for metric in (one, many):
        assert metric.interval is not None
        assert metric.interval.low <= metric.value <= metric.interval.high
        assert "threads" in metric.note
    assert (one.unit, many.unit) == ("ms", "images/s")
    assert f"batches of {BATCH}" in many.note


@pytest.mark.parametrize(("limit", "verdict"), [(1e9, "pass"), (1e-9, "fail")])
def test_a_search_may_demand_it(limit, verdict):
    requirement, metrics = parse_requirement(f"latency<={limit}"), [latency(MODEL, 16, "cpu")]
    assert judge(requirement, metrics).verdict == verdict
    assert (violation(requirement, metrics) <= 0) == (verdict == "pass")
