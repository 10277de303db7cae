"""What a benchmark leaves behind beside its page: the record, the table as CSV and LaTeX, every image's predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.files import write_json, write_text
from nas.jobs.benchmark_folds import file_name
from nas.records import BenchmarkRecord, BenchmarkRow, Metric

if TYPE_CHECKING:
    from pathlib import Path

    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant
    from nas.jobs.benchmark_training import FoldResult

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_record(record: BenchmarkRecord, directory: Path) -> None:
    """``benchmark.json``, ``table.csv`` and ``table.tex``."""
    write_json(directory / "benchmark.json", record.model_dump(mode="json"))
    write_text(directory / "table.csv", table_csv(record))
    write_text(directory / "table.tex", table_latex(record))


def table_csv(record: BenchmarkRecord) -> str:
    """One line for each model, part and figure, with its interval, n and groups."""
    lines: list[Sequence[object]] = [
        ("model", "kind", "recipe", "pretraining", "flops", "parameters", "verdict", "figure", "part", "value", "low", "high", "n", "groups", "note")
    ]  # fmt: skip
    for row in record.rows:
        cost = (row.cost.flops, row.cost.parameters) if row.cost else ("", "")
        verdict = row.finding.verdict if row.finding else ""
        head = (row.name, row.kind, row.recipe, row.pretraining, *cost, verdict)
        if row.failed:
            lines.append((*head, "failed", "", "", "", "", "", "", row.failed))
        for metric in (*row.test, *row.folds, *row.by_source):
            lines.append((*head, *_figures(metric)))
    return as_csv(lines)


def _figures(metric: Metric) -> tuple[object, ...]:
    ends = (metric.interval.low, metric.interval.high) if metric.interval else ("", "")
    value = "" if metric.value is None else metric.value
    return (metric.name, metric.part, value, *ends, metric.n, metric.groups, metric.note)


def as_csv(lines: Iterable[Sequence[object]]) -> str:
    """Comma-separated text; text cells that a spreadsheet would run as a formula are quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in line])
    return text.getvalue()


def table_latex(record: BenchmarkRecord) -> str:
    """The headline table (package ``booktabs``): cost, balanced accuracy, AUROC, accuracy, each class's sensitivity, verdict."""
    names = ["balanced_accuracy", "auroc", "accuracy", *(f"sensitivity[{name}]" for name in record.classes)]
    titles = ["Model", "MFLOPs", "M params", *(latex(name.replace("_", " ")) for name in names), "Audit"]
    lines = [
        f"% sealed test of {record.data.images} images, seed {record.seed}; 95 % intervals respect groups",
        r"\begin{tabular}{l" + "r" * (len(titles) - 2) + "l}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        *(" & ".join(_latex_cells(row, names)) + r" \\" for row in record.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cells(row: BenchmarkRow, names: Sequence[str]) -> list[str]:
    cost = [f"{row.cost.flops / 1e6:.1f}", f"{row.cost.parameters / 1e6:.3f}"] if row.cost else ["--", "--"]
    if row.failed:
        return [latex(row.name), *cost, *["--"] * len(names), latex("failed")]
    figures = {metric.name: metric for metric in row.test}
    return [
        latex(row.name),
        *cost,
        *(_latex_metric(figures.get(name)) for name in names),
        row.finding.verdict if row.finding else "--",
    ]


def _latex_metric(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "--"
    ends = f" ({metric.interval.low:.3f}--{metric.interval.high:.3f})" if metric.interval else ""
    return f"{metric.value:.3f}{ends}"


def latex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)


def write_predictions(arena: Arena, entrant: Entrant, results: Sequence[FoldResult]) -> None:
    """``predictions/MODEL.csv``: every image's class probabilities from every training, on the sealed test and out of fold."""
    from nas.evaluation import probabilities

    data = arena.dataset
    lines: list[Sequence[object]] = [
        ("file", "source", "group", "label", "part", "seed", "fold", "predicted", *(f"p[{name}]" for name in data.classes))
    ]
    for result in results:
        for part, rows, logits in (
            ("test", arena.parts.test, result.test),
            ("out of fold", result.fold.held_out, result.held_out),
        ):
            shares = np.round(probabilities(logits), 6)
            for index, share in zip(rows.tolist(), shares.tolist(), strict=True):
                lines.append(
                    (str(data.file[index]), str(data.source[index]), str(data.group[index]), data.classes[data.labels[index]], part,
                     result.fold.seed, result.fold.number, data.classes[int(np.argmax(share))], *share)
                )  # fmt: skip
    write_text(arena.directory / "predictions" / f"{file_name(entrant.name)}.csv", as_csv(lines))
