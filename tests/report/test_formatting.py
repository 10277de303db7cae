"""Numbers read the same everywhere."""

from __future__ import annotations

import pytest

from nas.records import Interval, Metric
from nas.report import formatting as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12.0"),
        (999.6, "1.00 k"),
        (38_400_000, "38.4 M"),
        (999_999, "1.00 M"),
        (4.1e9, "4.10 G"),
        (-2500, "−2.50 k"),
        (None, "–"),
    ],
)
def test_si(value, text):
    assert fmt.si(value) == text


def test_flops_bytes_and_seconds():
    assert fmt.flops(38_400_000) == "38.4 MFLOPs"
    assert fmt.flops(12) == "12.0 FLOPs"
    assert fmt.size(1536) == "1.50 KiB"
    assert fmt.size(67_108_864) == "64.0 MiB"
    assert [fmt.duration(s) for s in (4.21, 59.0, 200, 7500)] == ["4.2 s", "59 s", "3 min 20 s", "2 h 05 min"]


def test_negative_zero_loses_its_sign_and_infinity_is_missing():
    assert fmt.number(-0.0001, 2) == "0.00"
    assert fmt.number(-0.5, 2) == "−0.50"
    assert fmt.number(float("inf")) == "–"


def test_a_metric_carries_interval_and_basis():
    metric = Metric(
        name="balanced_accuracy", value=0.874, interval=Interval(low=0.821, high=0.913, method="x"), n=214, groups=1
    )
    assert fmt.metric_text(metric) == "87.4 % (82.1–91.3; n = 214 images, 1 group)"
    missing = Metric(name="auroc", value=None, n=0, groups=0, note="one class only")
    assert fmt.metric_text(missing) == "not estimable: one class only"


def test_ranges_with_negative_ends_use_a_word():
    assert fmt.span(-0.1, 0.2, 2) == "−0.10 to 0.20"


def test_control_and_direction_characters_go():
    assert fmt.clean("a\x1b[31mb\u202ec\nd\x00") == "a[31mbc d"


def test_metric_titles():
    assert fmt.metric_title("sensitivity[covid]") == "Sensitivity, covid"
    assert fmt.metric_title("my_own_figure") == "My own figure"
    assert fmt.metric_title("log_loss_over_seeds") == "Class-balanced log-loss over seeds"
    assert fmt.metric_value(Metric(name="balanced_accuracy_over_seeds", value=0.834, n=9, groups=9)) == "83.4 %"
