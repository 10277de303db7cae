"""Tables as data: columns and cells that the page, the terminal, the CSV and the LaTeX writers can all print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.records import Comparison, DataSummary, Metric, TestResult
from nas.report import formatting as fmt

PARTS = ("test", "audit", "validation")  # of several figures of one name, the most independent comes first


def part_rank(part: str) -> tuple[int, str]:
    """Sorts parts of the data, the most independent first."""
    return PARTS.index(part) if part in PARTS else len(PARTS), part


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a second line, the value it sorts by, ready markup, and a verdict chip in front."""

    text: str = ""
    sub: str = ""
    sort: float | str | None = None
    html: Markup | None = None
    class_: str = ""
    verdict: str | None = None  # "none": not audited


@dataclass(frozen=True)
class Row:
    """A row; a highlighted one is the winner's (or the best's)."""

    cells: tuple[Cell, ...]
    highlight: bool = False


@dataclass(frozen=True)
class Table:
    """Columns as (title, is numeric), and rows."""

    columns: tuple[tuple[str, bool], ...]
    rows: tuple[Row, ...]
    caption: str = ""


def table(columns: Sequence[tuple[str, bool]], rows: Iterable[Row | Sequence[Cell]], caption: str = "") -> Table:
    """A table from rows or plain sequences of cells."""
    return Table(tuple(columns), tuple(row if isinstance(row, Row) else Row(tuple(row)) for row in rows), caption)


def metric_cell(metric: Metric | None, *, reason: bool = False) -> Cell:
    """The estimate with its interval below; sorts by value, the unknown last, with its ``reason`` where there is room."""
    if metric is None or metric.value is None:
        return Cell(fmt.MISSING, sub=fmt.clean(metric.note) if metric is not None and reason else "", sort="")
    return Cell(fmt.metric_value(metric), sub=fmt.metric_interval(metric), sort=metric.value)


def count_cell(value: float | None, text: str) -> Cell:
    """A figure that sorts by its value."""
    return Cell(text, sort="" if value is None else value)


def metrics_table(metrics: Iterable[Metric]) -> Table:
    """Every metric with its part, images, groups and the interval's method."""
    rows = [
        (
            Cell(fmt.metric_title(metric.name), class_="key"),
            Cell(fmt.metric_value(metric), sub=fmt.metric_interval(metric)),
            Cell(metric.part),
            count_cell(metric.n, str(metric.n)),
            count_cell(metric.groups, str(metric.groups)),
            Cell(metric.interval.method if metric.interval else fmt.MISSING),
            Cell(metric.note, class_="text"),
        )
        for metric in metrics
    ]
    columns = (
        ("Metric", False), ("Value (95 %)", True), ("Part", False), ("Images", True), ("Groups", True),
        ("Interval by", False), ("Note", False),
    )  # fmt: skip
    return table(columns, rows)


def metrics_by_part(metrics: Sequence[Metric]) -> tuple[Table, Table]:
    """One row a metric and one column a part, the test first: of all classes together, and class by class."""
    parts = sorted({metric.part for metric in metrics}, key=part_rank)
    found = {(metric.name, metric.part): metric for metric in metrics}
    names = list(dict.fromkeys(metric.name for metric in metrics))
    columns = [("Metric", False), *((f"{part.capitalize()} (95 %)", True) for part in parts), ("Interval by", False)]
    tables = [
        table(
            columns,
            [_metric_row(name, [found.get((name, part)) for part in parts]) for name in names if ("[" in name) is by_class],
        )
        for by_class in (False, True)
    ]
    return tables[0], tables[1]


def _metric_row(name: str, metrics: Sequence[Metric | None]) -> list[Cell]:
    known = [metric for metric in metrics if metric is not None]
    methods = dict.fromkeys(metric.interval.method for metric in known if metric.interval)
    notes = dict.fromkeys(metric.note for metric in known if metric.note)
    return [
        Cell(fmt.metric_title(name), class_="key"),
        *(_basis_cell(metric) for metric in metrics),
        Cell("; ".join(methods) or fmt.MISSING, sub="; ".join(notes), class_="text"),
    ]


def _basis_cell(metric: Metric | None) -> Cell:
    """A metric with its interval, and what it rests on below."""
    if metric is None:
        return Cell(fmt.MISSING)
    basis = f"n = {metric.n}, {metric.groups} {fmt.plural(metric.groups, 'group')}"
    interval = fmt.metric_interval(metric)
    return Cell(fmt.metric_value(metric), sub=f"{interval}\n{basis}" if interval else basis)


def comparisons_table(comparisons: Iterable[Comparison]) -> Table:
    """Paired comparisons with their differences, intervals and adjusted p-values."""
    rows = [
        (
            Cell(one.first),
            Cell(one.second),
            Cell(fmt.metric_title(one.metric)),
            difference_cell(one),
            count_cell(one.p_adjusted, p_text(one.p_adjusted)),
            Cell(one.conclusion, class_="key"),
            Cell(one.test, sub=one.note, class_="text"),
        )
        for one in comparisons
    ]
    columns = (
        ("First", False), ("Second", False), ("Metric", False), ("First − second (95 %)", True), ("p (adjusted)", True),
        ("The first is", False), ("Test", False),
    )  # fmt: skip
    return table(columns, rows)


def difference_cell(one: Comparison) -> Cell:
    """A difference in points of percent for shares, else in the metric's own unit."""
    if one.difference is None:
        return Cell(fmt.MISSING, sort="")
    scale, digits, unit = (100, 1, " points") if fmt.is_share(one.metric) else (1, 3, "")
    interval = fmt.span(scale * one.interval.low, scale * one.interval.high, digits) if one.interval else ""
    return Cell(fmt.number(scale * one.difference, digits) + unit, sub=interval, sort=one.difference)


def p_text(value: float | None) -> str:
    """A p-value; tiny ones as ``< 0.001``."""
    if value is None:
        return fmt.MISSING
    return "< 0.001" if value < 0.001 else fmt.number(value, 3)


def effect_cell(test: TestResult) -> Cell:
    """A test's effect with its interval below."""
    interval = fmt.span(test.interval.low, test.interval.high, 3) if test.interval else ""
    unit = fmt.unit_text(test.unit)
    return Cell(f"{fmt.number(test.effect)} {unit}".strip(), sub=interval, sort="" if test.effect is None else test.effect)


def counts_table(first: str, counts: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> Table:
    """Rows of counts by class, with a total."""
    rows = [
        [Cell(name, class_="text"), *(Cell(str(by.get(c, 0))) for c in classes), Cell(str(sum(by.values())))]
        for name, by in counts.items()
    ]
    return table([(first, False), *((name, True) for name in classes), ("All", True)], rows)


def parts_table(data: DataSummary) -> Table:
    """Images by part and class."""
    return counts_table("Part", data.parts, list(data.classes))


def sources_table(data: DataSummary) -> Table:
    """Images by source and class: a class that only one source has is confounded with it."""
    return counts_table("Source", data.sources, list(data.classes))


def settings_table(settings: Mapping[str, object]) -> Table:
    """Nested settings, one row a leaf, dotted names."""
    return table(
        [("Setting", False), ("Value", False)], ((Cell(k, class_="key"), Cell(v, class_="text")) for k, v in flat(settings))
    )


def flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted names with printable values."""
    leaves: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            leaves += flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            leaves.append((name, ", ".join(map(str, value)) or fmt.MISSING))
        else:
            leaves.append((name, fmt.MISSING if value is None else str(value)))
    return leaves
