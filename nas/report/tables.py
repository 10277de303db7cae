"""Records as files for other programs: CSV with plain figures, LaTeX tables for a paper (package ``booktabs``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from nas.files import write_text
from nas.records import AuditRecord, BenchmarkRecord, BenchmarkRow, Metric, SearchRecord
from nas.report import formatting as fmt
from nas.report.cells import Cell, Table, table
from nas.report.charts.intervals import margins_text
from nas.report.search_page import front_table
from nas.report.structure import chosen, space_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "−": "$-$", "–": "--", "≥": r"$\geq$", "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "≤": r"$\leq$", "σ": r"$\sigma$",
    "±": r"$\pm$", "✓": r"\checkmark ", "✕": r"$\times$ ", "×": r"$\times$",
}  # fmt: skip
_FIGURE = ("figure", "part", "value", "low", "high", "n", "groups", "note")


def as_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated text; nothing is an empty cell, and text that a spreadsheet would run as a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell is None else f"'{cell}" if _is_formula(cell) else cell for cell in row])
    return text.getvalue()


def _is_formula(cell: object) -> bool:
    return isinstance(cell, str) and cell.startswith(_FORMULA)


def latex(text: str) -> str:
    """Text with LaTeX's special characters escaped, and ours written as commands."""
    return "".join(_SPECIAL.get(letter, letter) for letter in fmt.clean(text))


def latex_table(table: Table, note: str = "") -> str:
    """Any table of the report as a ``tabular``; second lines (intervals) follow in brackets."""
    alignment = "".join("r" if numeric else "l" for _, numeric in table.columns)
    lines = [f"% {fmt.clean(note)}"] if note else []
    lines += [
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(latex(title) for title, _ in table.columns) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(_latex_cell(cell) for cell in row.cells) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = cell.verdict if cell.verdict not in (None, "none") else cell.text
    if cell.verdict == "none":
        text = "not audited"
    return latex(f"{text} ({cell.sub})" if cell.sub else text or "")


def trials_csv(record: SearchRecord) -> str:
    """One line a trial: outcome, cost, objective, every validation metric with its interval, every active decision."""
    space = space_of({**record.trials[0].architecture, "space": record.space}) if record.trials else None
    picked = chosen(record, space)
    decisions = list(dict.fromkeys(name for choices in picked.values() for name in choices))
    names = list(dict.fromkeys(metric.name for trial in record.trials for metric in trial.metrics))
    figures = [f"{name}{end}" for name in names for end in ("", ".low", ".high")]
    header = (
        "number", "key", "outcome", "reason", "flops", "parameters", "memory", "objective", "standard_error", "verdict", "seconds",
        *figures, *decisions,
    )  # fmt: skip
    rows = []
    for trial in record.trials:
        by_name = {metric.name: metric for metric in trial.metrics}
        measured = [value for name in names for value in _ends(by_name.get(name))]
        cost, seconds = trial.cost, round(sum(trial.seconds.values()), 2)
        head = [trial.number, trial.key, trial.outcome, trial.reason, cost.flops, cost.parameters, cost.memory, trial.quality]
        choices = [picked[trial.key].get(name) for name in decisions]
        rows.append([*head, trial.standard_error, trial.verdict, seconds, *measured, *choices])
    return as_csv(header, rows)


def _ends(metric: Metric | None) -> tuple[float | None, float | None, float | None]:
    if metric is None:
        return None, None, None
    ends = (metric.interval.low, metric.interval.high) if metric.interval else (None, None)
    return metric.value, *ends


def _figure(metric: Metric) -> tuple[object, ...]:
    return (metric.name, metric.part, *_ends(metric), metric.n, metric.groups, metric.note)


def front_csv(record: SearchRecord) -> str:
    """One line for each figure of each candidate of the front."""
    header = ("candidate", "path", "flops", "parameters", "verdict", *_FIGURE)
    rows = [
        (one.name, one.path, one.cost.flops, one.cost.parameters, fmt.verdict_of(one), *_figure(metric))
        for one in record.front
        for metric in one.metrics
    ]
    return as_csv(header, rows)


def audit_csv(record: AuditRecord) -> str:
    """One line a test and class."""
    header = (
        "test", "title", "class", "verdict", "statistic", "unit", "effect", "low", "high", "pass_margin", "fail_margin", "rule",
        "p_value", "n", "groups", "fill", "minimum_detectable_effect", "groups_needed", "reason",
    )  # fmt: skip
    rows = [
        (
            t.test, t.title, t.class_name, t.verdict, t.statistic, t.unit, t.effect, t.interval.low if t.interval else None,
            t.interval.high if t.interval else None, t.pass_margin, t.fail_margin, margins_text(t), t.p_value, t.n, t.groups, t.fill,
            t.minimum_detectable_effect, t.groups_needed, t.reason,
        )
        for t in record.finding.tests
    ]  # fmt: skip
    return as_csv(header, rows)


def benchmark_csv(record: BenchmarkRecord) -> str:
    """One line for each figure of each model; a model that failed has one line, which says why."""
    header = ("model", "kind", "recipe", "pretraining", "flops", "parameters", "verdict", *_FIGURE)
    rows: list[Sequence[object]] = []
    for row in record.rows:
        cost = (row.cost.flops, row.cost.parameters) if row.cost else (None, None)
        head = (row.name, row.kind, row.recipe, row.pretraining, *cost, row.finding.verdict if row.finding else None)
        if row.failed:
            rows.append((*head, "failed", *[None] * (len(_FIGURE) - 2), row.failed))
        rows += [(*head, *_figure(metric)) for metric in (*row.test, *row.folds, *row.by_source)]
    return as_csv(header, rows)


def benchmark_latex(record: BenchmarkRecord) -> str:
    """The headline table: cost, balanced accuracy, AUROC, accuracy, each class's sensitivity on the sealed test, verdict."""
    names = ["balanced_accuracy", "auroc", "accuracy", *(f"sensitivity[{name}]" for name in record.classes)]
    columns = [("Model", False), ("MFLOPs", True), ("M parameters", True), *((fmt.metric_title(name), True) for name in names)]
    rows = [
        [Cell(row.name), *_cost_cells(row), *(_plain_cell(row, name) for name in names),
         Cell("failed") if row.failed else Cell(verdict=row.finding.verdict if row.finding else "none")]
        for row in record.rows
    ]  # fmt: skip
    sealed = sum(record.data.parts.get("test", {}).values())
    note = f"sealed test of {sealed} images, seed {record.seed}; 95 % intervals respect groups"
    return latex_table(table([*columns, ("Audit", False)], rows), note)


def _cost_cells(row: BenchmarkRow) -> tuple[Cell, Cell]:
    if row.cost is None:
        return Cell(fmt.MISSING), Cell(fmt.MISSING)
    return Cell(fmt.number(row.cost.flops / 1e6, 1)), Cell(fmt.number(row.cost.parameters / 1e6))


def _plain_cell(row: BenchmarkRow, name: str) -> Cell:
    """A figure of the sealed test as a plain number with its interval."""
    metric = next((metric for metric in row.test if metric.name == name), None)
    if row.failed or metric is None or metric.value is None:
        return Cell(fmt.MISSING)
    ends = metric.interval
    return Cell(fmt.number(metric.value), sub=fmt.span(ends.low, ends.high, 3) if ends else "")


def write_tables(record: SearchRecord | AuditRecord | BenchmarkRecord, directory: Path) -> tuple[Path, ...]:
    """A search's ``trials.csv``, ``front.csv`` and ``front.tex``, an audit's ``tests.csv``, or a benchmark's ``table.csv`` and ``.tex``."""
    if isinstance(record, AuditRecord):
        texts = {"tests.csv": audit_csv(record)}
    elif isinstance(record, BenchmarkRecord):
        texts = {"table.csv": benchmark_csv(record), "table.tex": benchmark_latex(record)}
    else:
        note = f"{record.command}; seed {record.seed}; 95 % intervals respect groups"
        texts = {
            "trials.csv": trials_csv(record),
            "front.csv": front_csv(record),
            "front.tex": latex_table(front_table(record, paths=False), note),
        }
    for name, text in texts.items():
        write_text(Path(directory) / name, text)
    return tuple(Path(directory) / name for name in texts)
