"""A model card (Mitchell et al. 2019) in Markdown: what the model is for, what it was made of, how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.files import write_text
from nas.records import CandidateRecord, DataSummary, Finding, Metric, SearchRecord
from nas.report import formatting as fmt
from nas.report.cells import part_rank
from nas.report.charts.intervals import margins_text
from nas.report.search_page import budget_text, use
from nas.report.views import test_reason

CARD_NAME = "MODEL_CARD.md"
_MARKDOWN = {"\\", "`", "*", "_", "{", "}", "[", "]", "<", ">", "#", "|", "~", "!"}


def escaped(text: object) -> str:
    """Text that Markdown prints as it is: no markup, no HTML, one line."""
    return "".join(f"\\{letter}" if letter in _MARKDOWN else letter for letter in fmt.clean(text))


def model_card(record: SearchRecord, candidate: CandidateRecord) -> str:
    """The card of one candidate of a search."""
    sections = [
        f"# {escaped(candidate.name)}",
        _summary(record, candidate),
        "## Intended use\n\nResearch on chest radiographs: comparing architectures, and studying what such classifiers decide from. "
        "**Not a medical device**: it must not be used to diagnose, to triage or to exclude disease in anyone. Adult or paediatric, "
        "frontal or lateral, it knows only images like those it was trained on (below). CT and MRI are out of scope.",
        "## Model\n\n" + _table(("", ""), _model_rows(record, candidate)),
        "## Data\n\n" + _data(record.data),
        "## Performance\n\nIntervals are 95 % and respect groups (patients, duplicate clusters). Figures on validation picked the model and "
        "are biased upward.\n\n" + _metrics(candidate.metrics),
        "## Controls\n\nWhat predicts the label without looking at the lungs; a model near these figures has shown nothing.\n\n"
        + (_metrics(record.controls) if record.controls else "None was recorded."),
        "## Audit\n\n" + (_finding(candidate.finding) if candidate.finding else "**Not audited**: nothing is known about what it decides from."),
        _answered(candidate),
        _unmet(candidate),
        "## Use\n\n" + "\n\n".join(f"{title}:\n\n{_fenced(code)}" for title, code in use(candidate, record, Path(record.directory))),
        "## Reproduce\n\n" + _fenced(record.command) + "\n\n" + _table(("", ""), _reproduction(record)),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def write_card(record: SearchRecord, candidate: CandidateRecord, directory: Path) -> Path:
    """Write the card as ``MODEL_CARD.md`` into ``directory``."""
    path = Path(directory) / CARD_NAME
    write_text(path, model_card(record, candidate))
    return path


def _answered(candidate: CandidateRecord) -> str:
    text = fmt.answered_text(candidate)
    return f"{escaped(text)}." if text else ""


def _summary(record: SearchRecord, candidate: CandidateRecord) -> str:
    verdict = fmt.verdict_of(candidate)
    classes = ", ".join(map(escaped, record.data.classes))
    text = f"A convolutional network that tells {classes} apart on chest radiographs, found by architecture search within {escaped(budget_text(record.budget))}."
    return f"{text} Audit verdict: **{verdict or 'not audited'}**."


def _model_rows(record: SearchRecord, candidate: CandidateRecord) -> list[tuple[str, str]]:
    cost = candidate.cost
    return [
        ("Search space", f"{record.space}, version {record.space_version}"),
        ("Key", candidate.key),
        ("Input", f"{cost.image_size} × {cost.image_size} px grey, {cost.in_channels} channel(s) inside"),
        ("Crop of an image before", fmt.crop_text(record, candidate)),
        ("Classes, and the labels that they merge", ", ".join(record.settings.get("classes") or record.data.classes)),
        ("FLOPs (multiply–accumulates, one image)", fmt.flops(cost.flops)),
        ("Parameters", fmt.si(cost.parameters)),
        ("Peak activation memory", fmt.size(cost.memory)),
        ("Trained with seeds", ", ".join(map(str, candidate.seeds)) or fmt.MISSING),
    ]


def _data(data: DataSummary) -> str:
    lines = [
        f"{data.images} images of {data.groups} independent groups from {', '.join(map(escaped, data.spec))}; fingerprint `{data.fingerprint}`."
    ]
    classes = list(data.classes)
    rows = [(name, *(str(counts.get(c, 0)) for c in classes)) for name, counts in data.sources.items()]
    lines.append(_table(("Source", *classes), rows))
    rows = [(name, *(str(counts.get(c, 0)) for c in classes)) for name, counts in data.parts.items()]
    if rows:
        lines.append(_table(("Part", *classes), rows))
    lines += [f"- left out: {count} {fmt.plural(count, 'file')}, {escaped(reason)}" for reason, count in data.skipped.items()]
    lines += [f"- {escaped(warning)}" for warning in data.warnings]
    return "\n\n".join(lines)


def _metrics(metrics: Sequence[Metric]) -> str:
    rows = [
        (fmt.metric_title(m.name), m.part, fmt.metric_value(m), fmt.metric_interval(m), str(m.n), str(m.groups), m.note)
        for m in sorted(metrics, key=lambda m: part_rank(m.part))
    ]
    return _table(("Metric", "Part", "Value", "95 %", "Images", "Groups", "Note"), rows)


def _finding(finding: Finding) -> str:
    lines = [f"**{finding.verdict}**: {escaped(finding.binding_reason)} ({finding.level} audit, {fmt.asked_text(finding)}.)"]
    rows = [
        (
            f"{t.test} {t.title}",
            t.class_name,
            t.verdict,
            fmt.effect_text(t.effect, t.interval, t.unit),
            margins_text(t),
            test_reason(t),
        )
        for t in finding.tests
    ]
    if rows:
        lines.append(_table(("Test", "Class", "Verdict", "Effect (95 %)", "Rule", "Reason"), rows))
    if finding.blind_spots:
        lines.append("What the audit cannot see:\n\n" + "\n".join(f"- {escaped(spot)}" for spot in finding.blind_spots))
    return "\n\n".join(lines)


def _unmet(candidate: CandidateRecord) -> str:
    if not candidate.unmet:
        return ""
    return "## Requirements that it does not meet\n\n" + "\n".join(f"- {escaped(reason)}" for reason in candidate.unmet)


def _reproduction(record: SearchRecord) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return [
        ("Toolkit", f"pepx-nas {record.toolkit}"),
        ("Versions", versions),
        ("Seed", str(record.seed)),
        ("Created", fmt.date(record.created)),
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(escaped, header)) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(escaped, row)) + " |" for row in rows])


def _fenced(code: str) -> str:
    """A code block that its content cannot close."""
    fence = "```"
    while fence in code:
        fence += "`"
    lines = "\n".join(fmt.clean(line) for line in code.rstrip().split("\n"))
    return f"{fence}\n{lines}\n{fence}"
