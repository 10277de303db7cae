"""The survey's tables and answers, and the files beside the page, from records made by hand."""

from __future__ import annotations

from pathlib import Path

from nas.jobs.benchmark_costs import net_score
from nas.records import BenchmarkRecord, BenchmarkRow, Comparison, CostRecord, DataSummary, Interval, Metric
from nas.report.benchmark_page import benchmark_context
from nas.report.survey import TABLES, matching_class, survey, survey_text

CLASSES = ("Normal", "Viral Pneumonia", "COVID-19")


def metric(name: str, value: float | None, n: int = 80, part: str = "test") -> Metric:
    interval = None if value is None else Interval(low=max(value - 0.1, 0), high=min(value + 0.1, 1), method="made up")
    return Metric(name=name, value=value, interval=interval, n=n, groups=n // 2, part=part)


def row(name: str, value: float, flops: int, kind: str = "baseline", net: float | None = 50.0) -> BenchmarkRow:
    names = ("balanced_accuracy", "accuracy", "macro_sensitivity", "macro_specificity")
    per_class = [
        metric(f"{figure}[{c}]", value, 20)
        for figure in ("accuracy", "sensitivity", "specificity", "ppv", "f1")
        for c in CLASSES
    ]
    cost = CostRecord(flops=flops, parameters=10**6, memory=1, image_size=96, in_channels=1)
    return BenchmarkRow(
        name=name, kind=kind, cost=None if kind == "control" else cost, net_score=net,
        test=(*(metric(figure, value) for figure in names), *per_class),
    )  # fmt: skip


def record(*rows: BenchmarkRow, comparisons: tuple[Comparison, ...] = ()) -> BenchmarkRecord:
    data = DataSummary(
        spec=("table:x.csv",), fingerprint="f", images=400, groups=200, classes=dict.fromkeys(CLASSES, 130), sources={},
        with_mask=0, image_size=96, parts={"test": dict.fromkeys(CLASSES, 20)},
    )  # fmt: skip
    return BenchmarkRecord(
        toolkit="0", versions={}, command="", created="2026-01-01T00:00:00+00:00", seed=0, settings={}, data=data, classes=CLASSES,
        rows=rows, comparisons=comparisons,
    )  # fmt: skip


def test_classes_are_matched_by_their_words() -> None:
    assert matching_class("covid", CLASSES) == "COVID-19"
    assert matching_class("pneumonia", CLASSES) == "Viral Pneumonia"
    assert matching_class("normal", ("sick", "healthy")) == "healthy"
    assert matching_class("covid", ("sick", "healthy")) is None


def test_a_class_that_only_holds_the_word_is_another_class() -> None:
    assert matching_class("normal", ("abnormal", "normal")) == "normal"
    assert matching_class("normal", ("COVID-19", "No_Finding")) == "No_Finding"
    for first in ("covid-negative", "non-covid", "noncovid", "No COVID"):
        assert matching_class("covid", (first, "covid19_positive")) == "covid19_positive"
    assert matching_class("pneumonia", ("COVID-19 pneumonia", "other pneumonia", "normal")) == "other pneumonia"
    assert matching_class("pneumonia", ("COVID-19 pneumonia", "normal")) is None


def test_measured_values_stand_beside_the_published_ones() -> None:
    found = survey(record(row("cnn_lstm", 0.85, 10**9), row("vgg19", 0.7, 10**10)))
    tables = {table["name"]: table for table in found["tables"]}
    assert set(tables) == {table.name for table in TABLES} == {"1", "2", "3", "4", "DeTraC"}
    covid = tables["2"]["rows"][0]
    assert covid[:3] == ["COVID-19", "99.2", "85.0 (75.0–95.0; 17.0/20)"]
    assert tables["1"]["rows"][0][2] == "–"  # the plain CNN did not compete
    assert tables["4"]["rows"][0][1:5] == ["83", "70.0 (60.0–80.0; 56.0/80)", "58.7", "70.0 (60.0–80.0; 14.0/20)"]
    assert "table:x.csv" in found["data"]
    assert "60 images" in found["data"]
    text = survey_text(found)
    assert "Table DeTraC" in text
    assert "4. What is better?" in text


def test_answers_come_from_the_measured_table() -> None:
    better = Comparison(
        first="cnn_lstm", second="cnn", metric="balanced_accuracy", difference=0.08, interval=Interval(low=0.02, high=0.14, method="m"),
        p_value=0.001, p_adjusted=0.004, conclusion="better", test="paired", note="sealed test",
    )  # fmt: skip
    rows = (
        row("cnn_lstm", 0.85, 10**9),
        row("cnn", 0.78, 10**8, net=70.0),
        row("control: border only", 0.6, 0, "control", None),
    )
    answers = [item["answer"] for item in survey(record(*rows, comparisons=(better,)))["questions"]]
    assert answers[0].startswith("cnn_lstm scores highest: balanced accuracy 85.0 %")
    assert "cnn" in answers[0]
    assert "reading the map with an LSTM: 8.0 points of balanced accuracy (2.0–14.0), better" in answers[1]
    assert "Border only without any view" in answers[2]
    assert "cnn_lstm is better than cnn" in answers[3]
    assert "cnn leads with 70.0 dB" in answers[3]
    nothing = [item["answer"] for item in survey(record(rows[1]))["questions"]]
    assert nothing[3].startswith("No paired difference")


def test_a_model_that_failed_has_no_pretraining_to_compare() -> None:
    shared = row("cnn", 0.8, 10**9).model_copy(update={"pretraining": "shared"})
    failed = BenchmarkRow(name="vgg19", kind="baseline", cost=None, failed="seed0-fold0: out of memory")
    answer = survey(record(shared, failed))["questions"][1]["answer"]
    assert answer == "pretraining in this benchmark: shared."
    page = benchmark_context(record(shared, failed), Path())
    assert not any("Unequal" in warning for warning in page["warnings"])
    assert "the same audit" not in page["lead"]  # nobody was audited


def test_net_score_by_hand() -> None:
    cost = CostRecord(flops=10**9, parameters=10**6, memory=1, image_size=96, in_channels=1)
    assert net_score(0.9, cost) is not None
    assert abs((net_score(0.9, cost) or 0) - 78.17) < 0.01  # 20·log10(90²)
    assert net_score(None, cost) is None
    assert net_score(0.9, None) is None
