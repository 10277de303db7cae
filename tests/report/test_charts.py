"""Charts: scales, round ticks, escaping, zones of the interval plot, the front."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_factories import test_result

from nas.report.charts.bars import Bar, bars, stacked
from nas.report.charts.curves import Series, curves
from nas.report.charts.diagram import Block, diagram
from nas.report.charts.intervals import interval_plot, margins_text, zones_of
from nas.report.charts.matrix import confusion
from nas.report.charts.parallel import Axis, Strand, parallel
from nas.report.charts.scale import Scale, fit, linear_ticks
from nas.report.charts.scatter import Point, scatter
from nas.report.charts.svg import cut, element
from nas.report.formatting import tick
from nas.report.search_charts import non_dominated

finite = st.floats(-1e9, 1e9, allow_nan=False)


def parsed(markup) -> ElementTree.Element:
    """Any chart is well-formed XML."""
    return ElementTree.fromstring(f"<div>{markup}</div>")


def test_a_scale_maps_its_ends_and_clips():
    scale = Scale(0, 10, 100, 200)
    assert [scale(v) for v in (0, 5, 10, 99, -math.inf)] == [100, 150, 200, 200, 100]
    logarithmic = Scale(1, 100, 0, 10, log=True)
    assert logarithmic(10) == 5


@given(finite, finite)
def test_linear_ticks_are_few_and_inside(a, b):
    low, high = min(a, b), max(a, b)
    if high - low < 1e-6 * max(1, abs(low), abs(high)):
        return
    ticks = linear_ticks(low, high)
    slack = 1e-6 * (high - low)
    assert len(ticks) <= 7
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=20), st.integers(3, 8))
def test_log_scales_have_ticks(values, count):
    scale = fit(values, 0, 100, log=True)
    ticks = scale.ticks(count)
    assert 1 <= len(ticks) <= 12
    assert all(0 <= scale(value) <= 100 for value in values)


def test_constant_and_empty_values_get_a_width():
    for values in ([], [3.0], [0.0, 0.0]):
        scale = fit(values, 0, 10)
        assert scale.high > scale.low


def test_elements_escape_attributes_and_text():
    markup = element("text", '<script>"', data_tip='"><script>')
    assert "<script>" not in markup
    assert parsed(markup)[0].attrib["data-tip"] == '"><script>'


def test_dotted_names_lose_letters_before_ends():
    assert cut("stage3.block2.projection", 16) == "s3.b2.projection"
    assert cut("stage3.block2.projection", 10) == "s3.b2.pro…"
    assert cut("short", 10) == "short"


def test_no_tick_is_cut_by_the_edge_of_a_phones_drawing():
    made = scatter([Point(x, 0.5) for x in (985e3, 990e3, 997e3)], "t", "x", "y", x_format=tick, limit=1e6, limit_text="budget")
    for drawing in parsed(made).iter("svg"):
        width = float(drawing.attrib["viewBox"].split()[2])
        texts = [one for one in drawing.iter("text") if one.attrib["class"] == "tick"]
        assert "1.5 M" in [one.text for one in texts] or width > 500
        for one in texts:
            share = {"start": 1.0, "middle": 0.5, "end": 0.0}[one.attrib["text-anchor"]]
            assert float(one.attrib["x"]) + 6 * share * len(one.text) <= width


def test_every_chart_is_well_formed_and_drawn_for_wide_and_narrow():
    evil = "<b>&\"'"
    made = [
        scatter([Point(1e6, 0.8, 0.7, 0.9, tip=evil, label=evil), Point(1e7, 0.9)], evil, "x (px)", "y (%)", front=[(1e6, 0.8), (1e7, 0.9)], limit=2e7, limit_text=evil, reference=(0.7, evil)),
        curves([Series(evil, [(1, 0.5), (2, 0.4)], marked=True, tips=[evil]), Series("b", [(1, 1), (2, 2)], stepped=True)], evil, "x", "y", diagonal=True),
        bars([Bar(evil, 3, 2, 4, text="3")], evil, "x (%)", marker=(2, evil)),
        stacked([Bar("a", 3, text="3"), Bar("b", 0)], evil, "x"),
        confusion([[5, 1], [0, 0]], [evil, "b"], evil),
        parallel([Axis(evil, ("1", "2")), Axis("b", ("x",))], [Strand(("1", None), 1, evil), Strand(("2", "x"), 5, evil, True)], evil, evil),
        diagram([Block("stem", evil, 5, 0), Block("s.b1", "", 0, 0, evil), Block("s.b2", "", 2, 2)], evil, evil, first="in", last="out", chains=[["s.b1", "s.b2"]]),
    ]  # fmt: skip
    for markup in made:
        tree = parsed(markup)
        variants = [svg.attrib.get("class") for svg in tree.iter("svg")]
        assert variants.count("wide") == variants.count("narrow") == 1
        assert not list(tree.iter("b"))


def _zone(markup, name):
    return [(float(r.attrib["x"]), float(r.attrib["width"])) for r in parsed(markup).iter("rect") if r.attrib["class"] == name]


def test_a_two_sided_test_fails_on_both_sides_of_its_centre():
    signed = test_result("T3", "swap", 0.04, 0.04, 0.10, 0.20, "pass")
    assert len(_zone(interval_plot(signed), "zone-fail")) == 2
    assert margins_text(signed) == "passes within ±0.10, fails beyond ±0.20 σ"
    assert zones_of(signed).passes == (-0.10, 0.10)


def test_a_drop_fails_on_one_side_only():
    drop = test_result(
        "T2", "lungs only", 0.03, 0.03, 0.05, 0.10, "undecided", unit="AUC", details={"centre": 0.0, "upper_only": True}
    )
    assert len(_zone(interval_plot(drop), "zone-fail")) == 1
    assert margins_text(drop) == "passes within 0.05, fails beyond 0.10"


def test_an_auc_is_centred_on_chance_and_an_interval_beyond_the_view_gets_an_arrow():
    area = test_result(
        "T1", "lungs removed", 0.95, 0.04, 0.10, 0.15, "fail", unit="AUC", details={"centre": 0.5, "upper_only": False}
    )
    assert zones_of(area).passes == (0.4, 0.6)
    markup = interval_plot(area)
    assert "arrow" in markup
    assert re.search(r'aria-label="[^"]*passes within 0.50 ±0.10', markup)


def test_a_test_without_margins_or_effect_still_draws():
    bare = test_result("T0", "availability", 0.0, 0.0, 0.1, 0.2, "undecided").model_copy(
        update={"pass_margin": None, "fail_margin": None, "effect": None, "interval": None}
    )
    assert parsed(interval_plot(bare)) is not None
    assert margins_text(bare) == ""


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_has_no_dominated_point(higher):
    points = [(3, 0.9), (1, 0.5), (2, 0.4), (2, 0.7), (4, 0.8)]
    front = non_dominated(points, higher_is_better=higher)
    assert front == ([(1, 0.5), (2, 0.7), (3, 0.9)] if higher else [(1, 0.5), (2, 0.4)])
