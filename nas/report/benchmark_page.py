"""The page of one benchmark: the table, accuracy against cost, paired comparisons, curves, matrices, sources, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.files import file_name
from nas.records import BenchmarkRecord, BenchmarkRow, Metric
from nas.report import formatting as fmt
from nas.report.benchmark_charts import confusion_charts, cost_charts, curve_charts, source_charts
from nas.report.cells import Cell, Row, Table, comparisons_table, count_cell, metric_cell, settings_table, table
from nas.report.views import FindingView, data_view, finding_view, openings_warning, picture_folders, reproduce


def benchmark_context(record: BenchmarkRecord, directory: Path) -> dict[str, Any]:
    """What the benchmark's template prints."""
    sections = [
        ("table", "Table"), ("cost", "Cost"), ("comparisons", "Comparisons"), ("curves", "Curves"), ("confusion", "Confusion"),
        ("sources", "Sources"), ("audit", "Audits"), *([("survey", "Survey")] if record.survey else []),
        ("data", "Data"), ("reproduce", "Reproduce"),
    ]  # fmt: skip
    return {
        "kind": "Benchmark",
        "title": f"{len(record.rows)} models on {', '.join(map(fmt.clean, record.classes))}",
        "seed": record.seed,
        "sections": sections,
        "lead": lead(record),
        "warnings": [*openings_warning(record.test_openings), *_pretraining_warning(record)],
        "main": main_table(record),
        "training": training_table(record),
        "speed": speed_table(record),
        "metrics": every_metric(record),
        "cost_charts": cost_charts(record),
        "comparisons": comparisons_table(record.comparisons),
        "curve_charts": curve_charts(record),
        "matrices": confusion_charts(record),
        "source_charts": source_charts(record),
        "findings": findings(record, directory),
        "survey": survey_tables(record.survey),
        "data": data_view(record.data),
        "settings": settings_table(record.settings),
        "reproduce": reproduce(record, record.seed, {"Device": record.device or fmt.MISSING}),
    }  # fmt: skip


def survey_tables(survey: dict[str, Any]) -> list[Table]:
    """The survey's tables, published values beside measured ones; none where the survey was not asked for."""
    return [
        table(
            [(name, False) for name in found["columns"]],
            [[Cell(cell, class_="text") for cell in line] for line in found["rows"]],
            f"Table {found['name']}: {found['title']}. {found['note']}",
        )
        for found in survey.get("tables", ())
    ]


def lead(record: BenchmarkRecord) -> str:
    """What met whom, on what."""
    kinds = {kind: sum(row.kind == kind for row in record.rows) for kind in ("candidate", "baseline", "control")}
    met = ", ".join(f"{count} {fmt.plural(count, kind)}" for kind, count in kinds.items() if count)
    data, audit = record.data, ", by the same audit" if any(row.finding for row in record.rows) else ""
    return (
        f"{met} on the same folds and the same sealed test part{audit}: {data.images} images of {data.groups} groups "
        f"at {data.image_size} px, {len(record.classes)} classes ({', '.join(record.classes)})."
    )


def _pretraining_warning(record: BenchmarkRecord) -> list[str]:
    kinds = {row.pretraining for row in record.rows if row.kind != "control" and not row.failed}
    if len(kinds) < 2:
        return []
    return [f"Unequal pretraining ({', '.join(sorted(kinds))}): rows with more take no part in “better”."]


def row_metric(row: BenchmarkRow, name: str) -> Metric | None:
    """A row's headline figure: on the sealed test, else over the folds."""
    return fmt.find_metric(row.test, name) or fmt.find_metric(row.folds, name)


def main_table(record: BenchmarkRecord) -> Table:
    """One line a model: audit, cost, headline metrics, each class's sensitivity."""
    names = ["balanced_accuracy", "auroc", *(f"sensitivity[{name}]" for name in record.classes)]
    columns = [
        ("Model", False), ("Audit", False), ("FLOPs", True), ("Parameters", True),
        *((f"{fmt.metric_title(name)} (95 %)", True) for name in names),
    ]  # fmt: skip
    rows = [Row(_main_row(row, names), highlight=row.kind == "candidate") for row in record.rows]
    return table(columns, rows, "Sealed test part; intervals respect groups. Candidates of this toolkit are shaded.")


def _main_row(row: BenchmarkRow, names: list[str]) -> tuple[Cell, ...]:
    cost = row.cost
    apart = ["failed" if row.failed else "", f"pretraining {row.pretraining}" if row.pretraining != "none" else ""]
    return (
        Cell(row.name, sub="; ".join(filter(None, apart)), class_="text"),
        Cell(verdict=row.finding.verdict if row.finding else "none"),
        count_cell(cost.flops if cost else None, fmt.flops(cost.flops) if cost else fmt.MISSING),
        count_cell(cost.parameters if cost else None, fmt.si(cost.parameters) if cost else fmt.MISSING),
        *(metric_cell(row_metric(row, name)) for name in names),
    )


def speed_table(record: BenchmarkRecord) -> Table:
    """What each network takes: time, memory, NetScore; controls have none."""
    rows = [
        Row(
            (
                Cell(row.name, class_="text"),
                metric_cell(row.latency_ms),
                metric_cell(row.throughput),
                count_cell(row.net_score, fmt.number(row.net_score, 1)),
                count_cell(row.weight_bytes, fmt.size(row.weight_bytes)),
                count_cell(row.diversity, fmt.MISSING if row.diversity is None else str(row.diversity)),
            ),
            highlight=row.kind == "candidate",
        )
        for row in record.rows
        if row.kind != "control"
    ]
    columns = (
        ("Model", False), ("Latency, one image (ms)", True), ("Images a second", True), ("NetScore (dB)", True), ("Weights", True),
        ("Layer kinds", True),
    )  # fmt: skip
    return table(columns, rows)


def training_table(record: BenchmarkRecord) -> Table:
    """How each row came about: kind, recipe, pretraining, and what a reader must know."""
    rows = [
        (
            Cell(row.name, class_="text"),
            Cell(row.kind),
            Cell(row.recipe if row.kind != "control" else fmt.MISSING),
            Cell(row.pretraining if row.kind != "control" else fmt.MISSING),
            Cell("; ".join(filter(None, (f"failed: {row.failed}" if row.failed else "", row.note))), class_="text"),
        )
        for row in record.rows
    ]
    return table((("Model", False), ("Kind", False), ("Recipe", False), ("Pretraining", False), ("Note", False)), rows)


def every_metric(record: BenchmarkRecord) -> Table:
    """Every metric of every model on every part."""
    rows = [
        (
            Cell(row.name, class_="key"),
            Cell(fmt.metric_title(metric.name), class_="key"),
            Cell(metric.part, class_="key"),
            metric_cell(metric, reason=True),
            count_cell(metric.n, str(metric.n)),
            count_cell(metric.groups, str(metric.groups)),
        )
        for row in record.rows
        for metric in (*row.test, *row.folds, *row.by_source)
    ]
    columns = (("Model", False), ("Metric", False), ("Part", False), ("Value (95 %)", True), ("Images", True), ("Groups", True))
    return table(columns, rows)


def findings(record: BenchmarkRecord, directory: Path) -> list[FindingView]:
    """The audits, with pictures beside the record or in a folder named after the model."""
    return [
        finding_view(
            row.name, row.finding, [*picture_folders(directory), *picture_folders(directory / "audits" / file_name(row.name))]
        )
        for row in record.rows
        if row.finding is not None
    ]
