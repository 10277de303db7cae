"""The page of one search: what was searched and found, how it went, what mattered, the winner, its audit, how to use it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.records import CandidateRecord, Finding, Metric, SearchRecord
from nas.report import formatting as fmt
from nas.report.cells import (
    PARTS,
    Cell,
    Row,
    Table,
    comparisons_table,
    count_cell,
    metric_cell,
    metrics_by_part,
    metrics_table,
    settings_table,
    table,
)
from nas.report.search_charts import course_charts, decision_charts, front_charts, objective_of, training_charts
from nas.report.structure import choices_table, winner_diagram
from nas.report.views import FindingView, data_view, finding_view, openings_warning, picture_folders, reproduce


@dataclass(frozen=True)
class Card:
    """The winner's or the best's headline."""

    role: str
    name: str
    winner: bool
    verdict: str | None
    value: str
    basis: str
    facts: tuple[tuple[str, str], ...]


def subject_of(record: SearchRecord) -> CandidateRecord | None:
    """What the page draws and audits first: the winner, else the best."""
    return record.winner or record.best


def search_context(record: SearchRecord, directory: Path) -> dict[str, Any]:
    """What the search's template prints."""
    subject = subject_of(record)
    decisions = decision_charts(record, subject)
    overall, by_class = metrics_by_part(subject.metrics if subject else ())
    sections = [
        ("front", "Front"), ("course", "Course"), ("decisions", "Decisions"), ("architecture", "Architecture"),
        ("training", "Training"), ("audit", "Audit"), ("data", "Data"), ("use", "Use"), ("reproduce", "Reproduce"),
    ]  # fmt: skip
    if subject is None:
        sections = [entry for entry in sections if entry[0] not in ("architecture", "use")]
    return {
        "kind": "Architecture search",
        "title": f"Search of {fmt.clean(record.space)}: {', '.join(map(fmt.clean, record.data.classes))}",
        "seed": record.seed,
        "sections": sections,
        "lead": lead(record),
        "cards": cards(record),
        "warnings": [*openings_warning(record.test_openings), *_control_warning(record)],
        "front_charts": front_charts(record),
        "front": front_table(record),
        "comparisons": comparisons_table(record.comparisons),
        "course_charts": course_charts(record),
        "rejected": rejected_table(record),
        "trials": trials_table(record),
        "decision_charts": decisions,
        "decision_note": "Fewer than two candidates were completed: nothing can be said about decisions.",
        "subject_role": "winner" if record.winner else "best candidate",
        "diagram": winner_diagram(subject) if subject else None,
        "choices": choices_table(subject) if subject else Table((), ()),
        "training_charts": training_charts(record, subject),
        "metrics": overall,
        "class_metrics": by_class,
        "findings": findings(record, directory),
        "data": data_view(record.data),
        "controls": metrics_table(record.controls),
        "use": use(subject, record, directory) if subject else (),
        "settings": settings_table(record.settings),
        "reproduce": reproduce(record, record.seed, {
            "Space": f"{record.space}, version {record.space_version}",
            "Budget": budget_text(record.budget),
            "Sampler": record.sampler,
            "Directory": record.directory or fmt.MISSING,
        }),
    }  # fmt: skip


def lead(record: SearchRecord) -> str:
    """What was searched, in one paragraph."""
    data, counted = record.data, record.accounting
    seconds = sum(counted.seconds.values())
    return (
        f"Networks of the {record.space} space within {budget_text(record.budget)}, for {len(data.classes)} classes "
        f"({', '.join(data.classes)}) on {data.images} images of {data.groups} groups at {data.image_size} px. "
        f"{counted.proposed} proposals by the {record.sampler} sampler, {counted.completed} candidates trained to the end"
        + (f", {fmt.duration(seconds)} of work." if seconds else ".")
    )


def budget_text(budget: dict[str, Any]) -> str:
    """The budget's bounds in words."""
    names = {
        "flops": fmt.flops,
        "parameters": lambda v: f"{fmt.si(v)} parameters",
        "memory": lambda v: f"{fmt.size(v)} of memory",
    }
    upper = [f"at most {show(budget[name])}" for name, show in names.items() if budget.get(name) is not None]
    lower = [f"at least {show(budget[f'min_{name}'])}" for name, show in names.items() if budget.get(f"min_{name}") is not None]
    size = f" at {budget['image_size']} px" if budget.get("image_size") else ""
    return ", ".join(upper + lower) + size if upper or lower else "no bound"


def cards(record: SearchRecord) -> list[Card]:
    """Winner and best; one card where they are the same."""
    same = record.winner is not None and record.best is not None and record.winner.key == record.best.key
    found = [("Winner and best" if same else "Winner", record.winner, True), ("Best", None if same else record.best, False)]
    return [_card(role, candidate, wins) for role, candidate, wins in found if candidate is not None]


def _card(role: str, candidate: CandidateRecord, winner: bool) -> Card:
    main = headline(candidate)
    facts = [
        (
            "Cost",
            f"{fmt.flops(candidate.cost.flops)}, {fmt.si(candidate.cost.parameters)} parameters, {fmt.size(candidate.cost.memory)} of activations",
        ),
        ("Saved in", candidate.path or fmt.MISSING),
    ]
    if candidate.finding:
        facts.insert(1, ("Verdict because", candidate.finding.binding_reason))
    if answered := fmt.answered_text(candidate):
        facts.append(("Finding answered", answered))
    if candidate.unmet:
        facts.append(("Does not meet", "; ".join(candidate.unmet)))
    if len(candidate.seeds) > 1:
        facts.append(("Seeds", ", ".join(map(str, candidate.seeds))))
    part = f" on {main.part}" if main and main.part else ""
    basis = f"{fmt.metric_title(main.name)}{part}: {fmt.metric_text(main)}" if main else "no metric recorded"
    return Card(role, candidate.name, winner, fmt.verdict_of(candidate), fmt.metric_value(main), basis, tuple(facts))


def headline(candidate: CandidateRecord) -> Metric | None:
    """Balanced accuracy where there is one, on the most independent part."""
    for name in ("balanced_accuracy", "accuracy", "auroc"):
        metric = fmt.find_metric(candidate.metrics, name, *PARTS)
        if metric is not None:
            return metric
    return candidate.metrics[0] if candidate.metrics else None


def _control_warning(record: SearchRecord) -> list[str]:
    """Says so where the control's interval reaches the subject's figure."""
    subject = subject_of(record)
    for control in record.controls:
        mine = fmt.find_metric(subject.metrics, control.name, control.part) if subject else None
        if mine is None or mine.value is None or control.value is None or mine.part != control.part:
            continue
        top = control.interval.high if control.interval else control.value
        bottom = mine.interval.low if mine.interval else mine.value
        if control.name != "log_loss" and bottom <= top:
            return [
                f"Trivial features alone reach {fmt.metric_title(control.name).lower()} {fmt.metric_text(control)}: the candidate's "
                f"{fmt.metric_value(mine)} ({fmt.metric_interval(mine)}) is not clearly above what needs no lungs."
            ]
    return []


def front_table(record: SearchRecord, *, paths: bool = True) -> Table:
    """The front's candidates, cheapest first, the winner (else the best) highlighted."""
    subject = subject_of(record)
    rows = [
        Row(
            (
                Cell(candidate.name, sub=candidate.path if paths else "", class_="text"),
                Cell(verdict=fmt.verdict_of(candidate) or "none"),
                count_cell(candidate.cost.flops, fmt.flops(candidate.cost.flops)),
                count_cell(candidate.cost.parameters, fmt.si(candidate.cost.parameters)),
                *(
                    metric_cell(fmt.find_metric(candidate.metrics, name, *PARTS))
                    for name in ("balanced_accuracy", "auroc", "log_loss")
                ),
                Cell("; ".join(candidate.unmet) or "meets all", class_="text"),
            ),
            highlight=subject is not None and candidate.key == subject.key,
        )
        for candidate in sorted(record.front, key=lambda one: one.cost.flops)
    ]
    columns = (
        ("Candidate", False), ("Audit", False), ("FLOPs", True), ("Parameters", True), ("Balanced accuracy (95 %)", True), ("AUROC (95 %)", True),
        ("Log-loss (95 %)", True), ("Requirements", False),
    )  # fmt: skip
    return table(columns, rows)


def rejected_table(record: SearchRecord) -> Table:
    """Trials that were pruned or failed, with the reason."""
    rows = [
        (
            count_cell(t.number, str(t.number)),
            Cell(t.outcome),
            count_cell(t.cost.flops, fmt.flops(t.cost.flops)),
            Cell(t.reason, class_="text"),
        )
        for t in record.trials
        if t.outcome in ("pruned", "failed")
    ]
    return table((("Trial", True), ("Outcome", False), ("FLOPs", True), ("Reason", False)), rows)


def trials_table(record: SearchRecord) -> Table:
    """Every trial."""
    rows = [
        (
            count_cell(t.number, str(t.number)),
            Cell(t.key, class_="key"),
            Cell(t.outcome),
            count_cell(t.quality, fmt.number(t.quality)),
            metric_cell(fmt.find_metric(t.metrics, "balanced_accuracy", "validation")),
            count_cell(t.cost.flops, fmt.flops(t.cost.flops)),
            count_cell(t.cost.parameters, fmt.si(t.cost.parameters)),
            Cell(verdict=t.verdict or "none"),
            count_cell(sum(t.seconds.values()), fmt.duration(sum(t.seconds.values()))),
        )
        for t in record.trials
    ]
    columns = (
        ("Trial", True), ("Architecture", False), ("Outcome", False), (fmt.objective_title(objective_of(record)), True), ("Balanced accuracy (95 %)", True),
        ("FLOPs", True), ("Parameters", True), ("Screen", False), ("Time", True),
    )  # fmt: skip
    return table(columns, rows)


def findings(record: SearchRecord, directory: Path) -> list[FindingView]:
    """The subject's finding first, then the best's where it differs."""
    audited: dict[str, tuple[CandidateRecord, Finding]] = {}
    for candidate in (record.winner, record.best):
        if candidate is not None and candidate.finding is not None:
            audited.setdefault(candidate.key, (candidate, candidate.finding))
    return [finding_view(one.name, finding, bases(one, directory)) for one, finding in audited.values()]


def bases(candidate: CandidateRecord, directory: Path) -> list[Path]:
    """Where a candidate's pictures may lie: around its own directory."""
    own = Path(candidate.path)
    return [folder for home in (own, own.parent, directory) for folder in picture_folders(home)]


def use(candidate: CandidateRecord, record: SearchRecord, directory: Path) -> list[tuple[str, str]]:
    """Copyable code: load in Python, predict, export, audit again."""
    path = candidate.path or str(directory)
    quoted = shlex.quote(path)
    python = (
        "from pathlib import Path\nimport torch\nfrom nas.data import prepare\nfrom nas.evaluation import load_candidate\n\n"
        f"loaded = load_candidate(Path({path!r}))\n"
        'image = prepare(Path("chest.png"), loaded.preprocessing)  # uint8 (1, H, W)\n'
        "with torch.inference_mode():\n"
        "    logits = loaded.model(torch.from_numpy(image).float().div(255).unsqueeze(0))\n"
        "print(dict(zip(loaded.classes, logits.softmax(1)[0].tolist())))\n"
    )
    source = f"nas export {quoted} --format source --out exported   # model.py: plain torch, nothing of this toolkit\n"
    if "source" not in fmt.export_options(record, candidate):
        source = ""
    data = " ".join(f"--data {shlex.quote(spec)}" for spec in record.data.spec) or "--data SPEC"
    shell = (
        f"nas predict {quoted} chest.png --csv predictions.csv\n"
        f"nas export {quoted} --format onnx --out {shlex.quote(candidate.key + '.onnx')}\n"
        f"{source}nas audit {quoted} {data}\n"
    )
    return [("In Python", python), ("From the shell", shell)]
