"""How records show themselves in a notebook: a small self-contained card, no script, escaped like the pages."""

from __future__ import annotations

from markupsafe import Markup

from nas.records import AuditRecord, BenchmarkRecord, SearchRecord
from nas.report import formatting as fmt
from nas.report.benchmark_page import lead as benchmark_lead
from nas.report.benchmark_page import main_table
from nas.report.cells import Cell, Table
from nas.report.charts.intervals import interval_plot
from nas.report.search_page import front_table, lead

_STYLE = Markup(
    "<style>.pn{font:14px/1.45 system-ui,sans-serif}.pn table{border-collapse:collapse;margin:.5em 0}"
    ".pn th,.pn td{border-bottom:1px solid #8886;padding:.25em .7em;text-align:left;vertical-align:top}.pn .n{text-align:right}"
    ".pn small{opacity:.75}.pn .zone-pass{fill:#1a7f37;opacity:.3}.pn .zone-fail{fill:#c1272d;opacity:.3}.pn .zone-und{fill:#b58900;opacity:.18}"
    ".pn .ci,.pn .zero{stroke:currentColor}.pn .ci{stroke-width:2.4}.pn .estimate,.pn .arrow{fill:currentColor}.pn svg{width:240px;height:34px}</style>"
)


def html(record: SearchRecord | AuditRecord | BenchmarkRecord) -> str:
    """A record's ``_repr_html_``."""
    if isinstance(record, SearchRecord):
        body = _search(record)
    elif isinstance(record, AuditRecord):
        body = _audit(record)
    else:
        body = Markup("<p>{}</p>{}").format(fmt.clean(benchmark_lead(record)), _table(main_table(record)))
    page = Markup("<p><small>page: {}</small></p>").format(fmt.clean(record.page)) if record.page else Markup("")
    return str(Markup("<div class='pn'>{}{}{}</div>").format(_STYLE, body, page))


def _search(record: SearchRecord) -> Markup:
    names = [("winner", record.winner), ("best", record.best)]
    lines = [
        Markup("<p><b>{}</b>: {}{}</p>").format(
            role,
            fmt.clean(candidate.name) if candidate else "none",
            f", audit {fmt.verdict_text(fmt.verdict_of(candidate))}, {fmt.clean(candidate.path)}" if candidate else "",
        )
        for role, candidate in names
    ]
    unmet = [Markup("<li>{}</li>").format(fmt.clean(reason)) for reason in record.unmet]
    tail = Markup("<ul>{}</ul>").format(Markup("").join(unmet)) if unmet else Markup("")
    return Markup("<p>{}</p>{}{}{}").format(
        fmt.clean(lead(record)), Markup("").join(lines), tail, _table(front_table(record, paths=False))
    )


def _audit(record: AuditRecord) -> Markup:
    rows = [
        Markup("<tr><td>{} {}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>").format(
            t.test,
            t.title,
            fmt.clean(t.class_name),
            fmt.verdict_text(t.verdict),
            interval_plot(t),
            fmt.effect_text(t.effect, t.interval, t.unit),
        )
        for t in record.finding.tests
    ]
    head = Markup("<p><b>{}</b> {}</p>").format(fmt.verdict_text(record.verdict), fmt.clean(record.finding.binding_reason))
    columns = Markup("<tr><th>Test</th><th>Class</th><th>Verdict</th><th>Against margins</th><th>Effect (95 %)</th></tr>")
    return Markup("{}<table>{}{}</table>").format(head, columns, Markup("").join(rows))


def _table(table: Table) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(fmt.clean(title)) for title, _ in table.columns)
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(_cell(cell, numeric) for cell, (_, numeric) in zip(row.cells, table.columns, strict=True))
        )
        for row in table.rows
    )
    return Markup("<table><tr>{}</tr>{}</table>").format(head, rows)


def _cell(cell: Cell, numeric: bool) -> Markup:
    text = cell.text if cell.verdict is None else fmt.verdict_text(None if cell.verdict == "none" else cell.verdict)
    sub = Markup("<br><small>{}</small>").format(fmt.clean(cell.sub)) if cell.sub else Markup("")
    return Markup("<td{}>{}{}</td>").format(Markup(" class='n'") if numeric else "", fmt.clean(text), sub)
