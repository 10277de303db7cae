"""The figures of a benchmark's page.

``BenchmarkRow.curves`` holds, where known, ``{"roc": {class: {"fpr": […], "tpr": […]}}, "reliability": {"confidence": […],
"accuracy": […], "n": […]}}``; ``by_source`` metrics carry the source's name in ``part``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from nas.records import BenchmarkRecord, BenchmarkRow, Metric
from nas.report import formatting as fmt
from nas.report.charts.bars import Bar, bars
from nas.report.charts.curves import Series, curves
from nas.report.charts.matrix import confusion
from nas.report.charts.scatter import Point, scatter
from nas.report.search_charts import FLOPS_AXIS, non_dominated

MOST_LINES = 8
_LOOKS = {"candidate": ("s1", "circle"), "baseline": ("s2", "square"), "control": ("s7", "triangle")}
_WORDS = {"candidate": "candidates of this toolkit", "baseline": "baselines", "control": "controls"}


def cost_charts(record: BenchmarkRecord) -> list[Markup]:
    """Balanced accuracy and AUROC over FLOPs."""
    charts = [
        _cost_chart(record, "balanced_accuracy", "balanced accuracy (%)"),
        _cost_chart(record, "auroc", "AUROC (macro, one-vs-rest)"),
    ]
    return [chart for chart in charts if chart]


def _metric(row: BenchmarkRow, name: str) -> Metric | None:
    found = fmt.find_metric(row.test, name) or fmt.find_metric(row.folds, name)
    return found if found is not None and found.value is not None else None


def _cost_chart(record: BenchmarkRecord, name: str, label: str) -> Markup:
    points, kinds, reference = [], set(), None
    for row in record.rows:
        metric = _metric(row, name)
        if metric is None or metric.value is None:
            continue
        if row.cost is None:
            better = reference is None or metric.value > reference[0]
            reference = (metric.value, row.name) if row.kind == "control" and better else reference
            continue
        kinds.add(row.kind)
        class_, shape = _LOOKS[row.kind]
        low, high = (metric.interval.low, metric.interval.high) if metric.interval else (None, None)
        verdict = f" · audit: {fmt.verdict_text(row.finding.verdict)}" if row.finding else ""
        tip = f"{row.name} · {fmt.flops(row.cost.flops)} · {fmt.metric_title(name)} {fmt.metric_text(metric)}{verdict}"
        points.append(Point(row.cost.flops, metric.value, low, high, class_, shape, tip, row.name, 6))
    if not points:
        return Markup("")
    mine = [(point.x, point.y) for point in points if point.class_ == "s1"]
    legend = [(*_LOOKS[kind], _WORDS[kind]) for kind in _LOOKS if kind in kinds] + (
        [("front", "line", "front of the candidates")] if len(mine) > 1 else []
    )
    percent = fmt.is_share(name)
    return scatter(
        points, f"{fmt.metric_title(name)} on the sealed test", FLOPS_AXIS, label, x_format=fmt.tick,
        y_format=lambda v: f"{100 * v:.0f} %" if percent else fmt.number(v, 2),
        front=non_dominated(mine, higher_is_better=True), reference=reference, legend=legend,
        caption="Bars: 95 % intervals that respect groups." + (" Dashed: the best control, which sees no lungs." if reference else ""),
    )  # fmt: skip


def curve_charts(record: BenchmarkRecord) -> list[Markup]:
    """One ROC figure a class, and the reliability curve, up to eight models each (candidates first)."""
    rows = sorted((row for row in record.rows if row.curves), key=lambda row: row.kind != "candidate")[:MOST_LINES]
    charts = [_roc(rows, name) for name in record.classes]
    charts.append(_reliability(rows))
    return [chart for chart in charts if chart]


def _roc(rows: Sequence[BenchmarkRow], name: str) -> Markup:
    series = []
    for index, row in enumerate(rows):
        points = _pairs(row.curves.get("roc", {}).get(name, {}), "fpr", "tpr")
        if points:
            area = _metric(row, f"auroc[{name}]")
            series.append(Series(f"{row.name}{f', AUROC {fmt.metric_value(area)}' if area else ''}", points, _line(index)))
    if not series:
        return Markup("")
    return curves(
        series, f"ROC, {name} against the rest", "1 − specificity", "sensitivity", x_range=(0, 1), y_range=(0, 1), diagonal=True,
        x_format=lambda v: fmt.number(v, 1), y_format=lambda v: fmt.number(v, 1), height=360, caption="Dashed: chance.",
    )  # fmt: skip


def _reliability(rows: Sequence[BenchmarkRow]) -> Markup:
    series = []
    for index, row in enumerate(rows):
        curve = row.curves.get("reliability", {})
        points = _pairs(curve, "confidence", "accuracy")
        if points:
            counts = curve.get("n", [None] * len(points))
            tips = [
                f"{row.name}: said {100 * x:.0f} %, right {100 * y:.0f} %, n = {n}"
                for (x, y), n in zip(points, counts, strict=False)
            ]
            series.append(Series(row.name, points, _line(index), marked=True, tips=tips))
    if not series:
        return Markup("")
    return curves(
        series, "Reliability", "stated probability of the predicted class", "share that was right", x_range=(0, 1), y_range=(0, 1),
        diagonal=True, x_format=lambda v: fmt.number(v, 1), y_format=lambda v: fmt.number(v, 1), height=360,
        caption="Dashed: perfect calibration; below it the model is over-confident.",
    )  # fmt: skip


def _pairs(curve: dict[str, Any], x: str, y: str) -> list[tuple[float, float]]:
    """Points of a recorded curve, without its gaps."""
    pairs = zip(curve.get(x, ()), curve.get(y, ()), strict=False)
    return [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]


def _line(index: int) -> str:
    """Colour, and from the fifth line on a dash pattern too."""
    return f"s{index + 1}" + (" dashed" if index >= 4 else "")


def confusion_charts(record: BenchmarkRecord) -> list[Markup]:
    """One matrix a model."""
    return [
        confusion(
            row.confusion,
            record.classes,
            row.name,
            "Sealed test part, all trainings together; percentages are of the true class.",
        )
        for row in record.rows
        if row.confusion and len(row.confusion) == len(record.classes)
    ]


def source_charts(record: BenchmarkRecord) -> list[Markup]:
    """One figure a source, one bar a model: the metric that most rows have there."""
    names = [metric.name for row in record.rows for metric in row.by_source if metric.value is not None]
    if not names:
        return []
    name = max(sorted(set(names)), key=names.count)
    sources = list(
        dict.fromkeys(m.part for row in record.rows for m in row.by_source if m.name == name and m.value is not None)
    )
    return [_source_chart(record, name, source) for source in sources]


def _source_chart(record: BenchmarkRecord, name: str, source: str) -> Markup:
    scale = 100 if fmt.is_share(name) else 1
    items, basis = [], ""
    for row in record.rows:
        metric = fmt.find_metric([m for m in row.by_source if m.part == source], name)
        if metric is None or metric.value is None:
            continue
        basis = f"n = {metric.n} {fmt.plural(metric.n, 'image')} of {metric.groups} {fmt.plural(metric.groups, 'group')}."
        low, high = (scale * metric.interval.low, scale * metric.interval.high) if metric.interval else (None, None)
        items.append(
            Bar(
                row.name,
                scale * metric.value,
                low,
                high,
                _LOOKS[row.kind][0],
                fmt.metric_value(metric),
                f"{row.name}: {fmt.metric_text(metric)}",
            )
        )
    title = fmt.metric_title(name)
    label = f"{title.lower()} (%)" if scale == 100 else title
    return bars(items, f"{title}, {source}", label, caption=basis, x_format=lambda v: f"{v:g}", x_range=(0, scale))
