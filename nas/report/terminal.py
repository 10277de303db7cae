"""Records as text for a terminal: tables, verdicts, and each test of an audit as one line against its margins.

Nothing that comes from data reaches the terminal uncleaned: control characters go, rich's markup is never parsed.
"""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from nas.records import AuditRecord, BenchmarkRecord, CandidateRecord, DataSummary, Finding, SearchRecord
from nas.report import formatting as fmt
from nas.report.benchmark_page import main_table
from nas.report.cells import Table, comparisons_table, parts_table, sources_table
from nas.report.search_page import front_table, headline, lead, rejected_table
from nas.report.survey import survey_text
from nas.report.text_plot import LEGEND, interval_line
from nas.report.views import more_facts, test_reason

STYLES = {"pass": "green", "fail": "red", "undecided": "yellow"}
_NAME_WIDTH = 26
_FALLBACK_WIDTH = 140  # of a pipe or a file, which have none
_ENDLESS = 100_000  # of a console on which nothing needs to break


def default_console() -> Console:
    """Standard output; a pipe gets a fixed width, so that tables do not break at 80 columns."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=_FALLBACK_WIDTH)


def print_search(record: SearchRecord, *, profile: bool = False, console: Console | None = None) -> None:
    """The front, winner and best with their paths and verdicts, what is unmet, and the page."""
    out = console or default_console()
    _line(out, lead(record))
    _show(out, rich_table(front_table(record, paths=False), "Front"))
    comparisons = comparisons_table(record.comparisons)
    if comparisons.rows:
        _show(out, rich_table(comparisons, "Paired comparisons"))
    rejected = rejected_table(record)
    if rejected.rows:
        counts = record.accounting
        _line(
            out,
            f"rejected: {counts.over_budget} over budget, {counts.repeated} repeated, {counts.pruned} pruned, {counts.failed} failed",
        )
    for control in record.controls:
        _line(
            out,
            f"control, {control.part}: {fmt.metric_title(control.name)} {fmt.metric_text(control)} ({control.note or 'trivial features'})",
        )
    same = record.winner is not None and record.best is not None and record.winner.key == record.best.key
    _candidate(out, "winner and best" if same else "winner", record.winner)
    if not same:
        _candidate(out, "best", record.best)
    for reason in record.unmet:
        _line(out, f"  unmet: {reason}", "yellow")
    if record.test_openings > 1:
        _line(out, f"opening {record.test_openings} of the sealed test: no longer unbiased", "yellow")
    for note in record.notes:
        _line(out, f"note: {note}")
    if profile:
        _profile(out, record)
    if record.page:
        _line(out, f"page: {record.page}")
    if record.best is not None and record.directory:
        run = shlex.quote(record.directory)
        _line(
            out,
            f"next: nas benchmark {run} | nas predict {run} IMAGE… | nas export {run} {fmt.export_options(record, record.best)}",
        )


def _candidate(out: Console, role: str, candidate: CandidateRecord | None) -> None:
    if candidate is None:
        _line(out, f"{role}: none", "yellow")
        return
    main = headline(candidate)
    figure = f"{fmt.metric_title(main.name)} {fmt.metric_text(main)} on {main.part}" if main else "no metric"
    verdict = fmt.verdict_of(candidate)
    text = Text(f"{role}: ", style="bold").append(fmt.clean(candidate.name), style="bold")
    text.append(f"  {fmt.flops(candidate.cost.flops)}  {fmt.clean(figure)}  audit ", style="not bold").append(_verdict(verdict))
    out.print(text, soft_wrap=True)
    if candidate.finding:
        _line(out, f"  {candidate.finding.binding_reason}")
    if answered := fmt.answered_text(candidate):
        _line(out, f"  {answered}")
    if candidate.path:
        _line(out, f"  saved in {candidate.path}")


def _profile(out: Console, record: SearchRecord) -> None:
    seconds = record.accounting.seconds
    total = sum(seconds.values()) or 1.0
    rows = RichTable(title="Where the time went", title_justify="left")
    for title in ("Phase", "Time", "Share"):
        rows.add_column(title, justify="left" if title == "Phase" else "right")
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        rows.add_row(Text(fmt.clean(name)), fmt.duration(spent), f"{100 * spent / total:.0f} %")
    _show(out, rows)


def print_audit(record: AuditRecord, *, console: Console | None = None) -> None:
    """One line a test with its interval against its margins, the gates, the verdict with its reason, what could not be seen."""
    out = console or default_console()
    finding = record.finding
    _line(out, f"audit of {record.model}: {finding.level}, {fmt.asked_text(finding)}, seed {finding.seed}")
    for gate in finding.gates:
        sign, style = ("✓", "green") if gate.passed else ("✕", "red")
        value = f" = {fmt.plain(gate.value)}" if gate.value is not None else ""
        _line(out, f"{sign} gate {gate.name}{value} ({gate.rule}){'; ' + gate.note if gate.note else ''}", style)
    if finding.tests:
        _show(out, _tests(finding))
        _line(out, LEGEND, "dim")
    for reason, count in finding.excluded.items():
        _line(out, f"excluded: {count} {fmt.plural(count, 'image')}, {reason}")
    text = (
        Text("verdict: ", style="bold")
        .append(_verdict(record.verdict))
        .append(f"  {fmt.clean(finding.binding_reason)}", style="not bold")
    )
    out.print(text, soft_wrap=True)
    if finding.answers:
        _line(out, f"what answers it: {', '.join(map(fmt.answer_text, finding.answers))}")
    if finding.blind_spots:
        _line(out, f"cannot see: {'; '.join(finding.blind_spots)}", "dim")
    if record.page:
        _line(out, f"page: {record.page}")


def _tests(finding: Finding) -> RichTable:
    rows = RichTable(title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for title in ("Test", "Class", "Verdict", "Against margins", "Effect (95 %)", "Reason"):
        rows.add_column(title, overflow="fold", no_wrap=title in ("Against margins", "Verdict"))
    for test in finding.tests:
        rows.add_row(
            Text(fmt.clean(f"{test.test} {test.title}")),
            Text(fmt.clean(test.class_name)),
            _verdict(test.verdict),
            interval_line(test),
            Text(fmt.effect_text(test.effect, test.interval, test.unit)),
            Text("" if test.verdict == "pass" else fmt.clean(test_reason(test)), style="dim"),
        )
    return rows


def print_benchmark(record: BenchmarkRecord, *, console: Console | None = None) -> None:
    """The table with intervals and verdicts, the paired comparisons, the notes, the survey where it was asked for, the page."""
    out = console or default_console()
    _show(out, rich_table(main_table(record), "Sealed test"))
    comparisons = comparisons_table(record.comparisons)
    if comparisons.rows:
        _show(out, rich_table(comparisons, "Paired comparisons"))
    if record.test_openings > 1:
        _line(out, f"opening {record.test_openings} of the sealed test: no longer unbiased", "yellow")
    for row in record.rows:
        if row.failed:
            _line(out, f"{row.name} failed: {row.failed}", "red")
    for note in record.notes:
        _line(out, f"note: {note}")
    if record.survey:
        for line in survey_text(record.survey).splitlines():
            out.print(Text(fmt.clean(line)), soft_wrap=True)
    if record.page:
        _line(out, f"page: {record.page}")


def print_data(data: DataSummary, *, console: Console | None = None) -> None:
    """What was loaded, by class, source and part, with its groups, masks and sizes, the warnings, and the command to run next."""
    out = console or default_console()
    _line(
        out,
        f"{', '.join(data.spec)}: {data.images} images of {data.groups} groups, {data.with_mask} with a lung mask, fingerprint {data.fingerprint}",
    )
    for title, table in (("By source", sources_table(data)), ("By part", parts_table(data))):
        if table.rows:
            _show(out, rich_table(table, title))
    for name, fact in more_facts(data):
        _line(out, f"{name.lower()}: {fact}")
    if data.trivial_features is not None:
        trivial = data.trivial_features
        _line(out, f"seven trivial features alone: {fmt.metric_title(trivial.name)} {fmt.metric_text(trivial)}")
    for reason, count in data.skipped.items():
        _line(out, f"skipped: {count} {fmt.plural(count, 'file')}, {reason}", "yellow")
    for warning in data.warnings:
        _line(out, f"warning: {warning}", "yellow")
    if data.next_command:
        _line(out, f"next: {data.next_command}")


def rich_table(table: Table, title: str = "") -> RichTable:
    """Any table of the report for the terminal; second lines go below in grey."""
    shown = RichTable(title=title or None, title_justify="left", header_style="bold")
    for index, (name, numeric) in enumerate(table.columns):
        lines = [line for row in table.rows for line in (row.cells[index].text, *row.cells[index].sub.split("\n"))]
        longest = max(map(len, [*lines, *name.split()] if numeric else lines), default=0)
        narrowest = (
            longest if numeric else min(longest, _NAME_WIDTH) if index == 0 else None
        )  # figures and names stay in one piece
        shown.add_column(
            Text(fmt.clean(name)), justify="right" if numeric else "left", overflow="fold", min_width=narrowest
        )  # fmt: skip
    for row in table.rows:
        shown.add_row(*(_cell(cell.text, cell.sub, cell.verdict) for cell in row.cells), style="bold" if row.highlight else "")
    return shown


def _show(out: Console, shown: RichTable) -> None:
    """The table; where the console is too narrow for it, cells one below the other: half a figure is another figure."""
    span = out.measure(shown, options=out.options.update_width(_ENDLESS))
    if span.minimum <= out.width:
        if (
            span.maximum > out.width
        ):  # rich would widen what must stay in one piece after it shrank the others: the rest was cut off
            for column in shown.columns:
                column.width = column.min_width
        out.print(shown)
        return
    if shown.title:
        out.print(shown.title, style="bold")
    for cells in zip(*(column.cells for column in shown.columns), strict=True):
        for number, (column, cell) in enumerate(zip(shown.columns, cells, strict=True)):
            parts = Text(", ").join(Text.assemble(cell).split("\n"))
            if parts.plain.strip():
                out.print(Text.assemble("  " if number else "", str(column.header), ": ", parts), soft_wrap=True)


def _cell(text: str, sub: str, verdict: str | None) -> Text:
    shown = Text(fmt.clean(text)) if verdict is None else _verdict(None if verdict == "none" else verdict)
    return shown.append(f"\n{fmt.clean(sub)}", style="not bold dim") if sub else shown


def _verdict(verdict: str | None) -> Text:
    return Text(fmt.verdict_text(verdict), style=STYLES.get(verdict or "", "dim"))


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(Text(fmt.clean(text), style=style), soft_wrap=True)
