"""Measured speed as metrics, and as what a search may demand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from nas.engine.context import Context
from nas.engine.requirements import judge, parse_requirement, violation
from nas.engine.settings import SearchSettings
from nas.evaluation.latency import BATCH, latency, throughput
from search_spaces import InputError, get_space

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


@pytest.mark.parametrize(("asked", "names"), [((), []), (("latency<=20",), ["latency"]), (("auroc>=0.8",), [])])
def test_a_search_measures_it_only_where_it_is_demanded(asked, names):
    settings = SearchSettings(require=asked, image_size=16, device="cpu")
    data = SimpleNamespace(classes=("covid", "normal"))
    assert [metric.name for metric in Context(settings, None, data, None, "").latency(MODEL)] == names


def test_a_prototype_needs_a_sampler_that_can_start_from_it():
    start = get_space("pepx").prototypes()["covidnet"].to_json()
    with pytest.raises(InputError, match="sampler 'tpe' cannot start from a prototype"):
        _ = Context(SearchSettings(prototype=start, sampler="tpe"), None, None, None, "").prototype
