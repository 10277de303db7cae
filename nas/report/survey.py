"""The survey's tables and questions, with measured values beside the published ones.

The published figures are those that the survey (Clark and others) prints; each stands with the number of images that it was
measured on, where that is known. Measured values come from the benchmark's own data and are labelled with them: the two
columns are of different images and are not to be subtracted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nas.records import BenchmarkRecord, BenchmarkRow, Comparison, Metric
from nas.report import formatting as fmt

CLASSES = {
    "covid": ("covid",),
    "pneumonia": ("pneumonia", "opacity", "viral"),
    "normal": ("normal", "healthy", "no finding", "negative"),
}
_DENIED = r"\b(no|non|not|without|negative)\b"
_OTHER = {"covid": _DENIED, "pneumonia": rf"{_DENIED}|\bcovid", "normal": r"\b(non|not)\b"}  # what makes a class another one
PAIRS = (("cnn_lstm", "cnn"), ("covidnet", "resnet50"), ("covidnet", "vgg19"), ("detrac", "resnet50"))
_TEST_CNN = "915 images, copies of training images among them"
_TEST_COVIDX = "COVIDx3, 300 images"
_TEST_DETRAC = "196 images augmented to 1,764 before the split"


@dataclass(frozen=True)
class Published:
    """One line of a published table: its label, the baseline that stands for it, and published percentages by figure."""

    label: str
    baseline: str
    values: dict[str, float]
    test: str
    survey_class: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """A table of the survey; ``figures`` maps a column's title to the metric that measures it (``{c}``: the line's class)."""

    name: str
    title: str
    figures: dict[str, str]
    lines: tuple[Published, ...]
    note: str = ""


_PER_CLASS = {"acc": "accuracy[{c}]", "spec": "specificity[{c}]", "sens": "sensitivity[{c}]", "F1": "f1[{c}]"}


def _per_class(baseline: str, rows: dict[str, tuple[float, float, float, float]]) -> tuple[Published, ...]:
    titles = {"covid": "COVID-19", "pneumonia": "Pneumonia", "normal": "Normal"}
    return tuple(
        Published(titles[name], baseline, dict(zip(_PER_CLASS, values, strict=True)), _TEST_CNN, name)
        for name, values in rows.items()
    )


TABLES = (
    PublishedTable(
        "1", "CNN alone", _PER_CLASS,
        _per_class("cnn", {"covid": (98.5, 98.2, 99.0, 97.7), "pneumonia": (98.6, 99.7, 96.4, 97.8), "normal": (99.9, 99.8, 100.0, 99.8)}),
        "accuracy of a class is one-vs-rest; 14 errors in 915 images",
    ),
    PublishedTable(
        "2", "CNN-LSTM", _PER_CLASS,
        _per_class("cnn_lstm", {"covid": (99.2, 99.2, 99.3, 98.9), "pneumonia": (99.2, 99.8, 98.0, 98.8), "normal": (99.8, 99.7, 100.0, 99.7)}),
        "accuracy of a class is one-vs-rest; 8 errors in 915 images",
    ),
    PublishedTable(
        "3", "SqueezeNet variants, COVID-ResNet, CNN-LSTM",
        {"overall acc": "accuracy", "COVID acc": "sensitivity[{c}]"},
        (
            Published("COVIDiagnosis-Net", "covidiagnosis_net", {"overall acc": 98.3, "COVID acc": 100.0}, "459 images, augmented copies among them", "covid"),
            Published("SGDM-SqueezeNet", "sgdm_squeezenet", {"overall acc": 98.3, "COVID acc": 96.7}, "180 images", "covid"),
            Published("COVID-ResNet", "covid_resnet", {"overall acc": 96.2, "COVID acc": 100.0}, "637 images, 8 of them COVID-19", "covid"),
            Published("CNN-LSTM", "cnn_lstm", {"overall acc": 99.4, "COVID acc": 99.2}, _TEST_CNN, "covid"),
        ),
        "99.4 % is a mean of one-vs-rest accuracies, its top-1 is 907/915; COVID acc is measured here as sensitivity",
    ),
    PublishedTable(
        "4", "VGG-19, ResNet-50, COVID-Net",
        {"acc": "accuracy", "COVID sens": "sensitivity[{c}]", "COVID PPV": "ppv[{c}]"},
        (
            Published("VGG-19", "vgg19", {"acc": 83.0, "COVID sens": 58.7, "COVID PPV": 98.4}, _TEST_COVIDX, "covid"),
            Published("ResNet-50", "resnet50", {"acc": 90.6, "COVID sens": 83.0, "COVID PPV": 98.8}, _TEST_COVIDX, "covid"),
            Published("COVID-Net", "covidnet", {"acc": 93.3, "COVID sens": 91.0, "COVID PPV": 98.9}, _TEST_COVIDX, "covid"),
        ),
        "58.7 % is no k/100: 61/100 fits the accuracy and the PPV",
    ),
    PublishedTable(
        "DeTraC", "DeTraC and a plain ResNet",
        {"acc": "accuracy", "sens": "macro_sensitivity", "spec": "macro_specificity"},
        (
            Published("ResNet (plain)", "resnet50", {"acc": 92.5, "sens": 65.01, "spec": 94.3}, _TEST_DETRAC),
            Published("DeTraC", "detrac", {"acc": 95.12, "sens": 97.91, "spec": 91.87}, _TEST_DETRAC),
        ),
        "published with ResNet-18; the plain network measured here is ResNet-50",
    ),
)  # fmt: skip


def survey(record: BenchmarkRecord) -> dict[str, Any]:
    """Tables 1 to 4 and the DeTraC comparison, and the four questions, as plain data for the record.

    Returns:
        ``{"data": …, "tables": [{"name", "title", "columns", "rows", "note"}, …], "questions": [{"question", "answer"}, …]}``.
    """
    return {
        "data": f"measured on {', '.join(record.data.spec)}: sealed test, {_test_images(record)}; published values are of other images",
        "tables": [_table(table, record) for table in TABLES],
        "questions": [{"question": question, "answer": answer(record)} for question, answer in QUESTIONS.items()],
    }


def survey_text(found: dict[str, Any]) -> str:
    """The survey as text for a terminal."""
    lines = [found["data"], ""]
    for table in found["tables"]:
        widths = [max(len(row[i]) for row in [table["columns"], *table["rows"]]) for i in range(len(table["columns"]))]
        lines.append(f"Table {table['name']}: {table['title']}")
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (table["columns"], *table["rows"])
        ]
        lines += [f"({table['note']})", ""]
    for number, item in enumerate(found["questions"], start=1):
        lines += [f"{number}. {item['question']}", f"   {item['answer']}"]
    return "\n".join(lines)


def _test_images(record: BenchmarkRecord) -> str:
    counts = record.data.parts.get("test", {})
    return f"{sum(counts.values())} images ({', '.join(f'{count} {name}' for name, count in counts.items())})"


def matching_class(name: str, classes: Sequence[str]) -> str | None:
    """The data's class that the survey's ``name`` means, by its words (non-covid is not covid, abnormal not normal); None where there is none."""
    for word in CLASSES.get(name, ()):
        for own in classes:
            said = re.sub(r"[^a-z0-9]+", " ", own.lower())
            if re.search(rf"\b{word}", said) and not re.search(_OTHER[name], said):
                return own
    return None


def _table(table: PublishedTable, record: BenchmarkRecord) -> dict[str, Any]:
    columns = ["system", *(f"{title}, {kind}" for title in table.figures for kind in ("published", "measured")), "published on"]
    rows = [[line.label, *_cells(table, line, record), line.test] for line in table.lines]
    return {"name": table.name, "title": table.title, "columns": columns, "rows": rows, "note": table.note}


def _cells(table: PublishedTable, line: Published, record: BenchmarkRecord) -> list[str]:
    own = matching_class(line.survey_class, record.classes) if line.survey_class else ""
    row = _row(record, line.baseline)
    cells = []
    for title, name in table.figures.items():
        cells.append(f"{line.values[title]:g}")
        cells.append(fmt.MISSING if own is None else _measured(row, name.format(c=own)))
    return cells


def _row(record: BenchmarkRecord, name: str) -> BenchmarkRow | None:
    return next((row for row in record.rows if row.name == name and not row.failed), None)


def _measured(row: BenchmarkRow | None, name: str) -> str:
    """``87.4 (82.1–91.3; 60.3/69)``: percent, interval, mean hits of images."""
    found = fmt.find_metric(row.test, name) if row is not None else None
    if found is None or found.value is None:
        return fmt.MISSING
    ends = f"{fmt.span(100 * found.interval.low, 100 * found.interval.high, 1)}; " if found.interval else ""
    hits = found.value * found.n
    basis = f"n = {found.n}" if name.startswith(("f1", "macro")) else f"{hits:.1f}/{found.n}"
    return f"{100 * found.value:.1f} ({ends}{basis})"


# --- the four questions ---------------------------------------------------------------------------------------------------


def _scored(record: BenchmarkRecord) -> list[tuple[BenchmarkRow, Metric]]:
    """Models with a balanced accuracy on the sealed test, best first; controls apart."""
    found = [
        (row, fmt.find_metric(row.test, "balanced_accuracy")) for row in record.rows if row.kind != "control" and not row.failed
    ]
    known = [(row, metric) for row, metric in found if metric is not None and metric.value is not None]
    return sorted(known, key=lambda pair: -(pair[1].value or 0.0))


def which_suit(record: BenchmarkRecord) -> str:
    """The ranking, and who cannot be told apart from the first."""
    scored = _scored(record)
    if not scored:
        return "No model was scored."
    first, metric = scored[0]
    near = [row.name for row, other in scored[1:] if _overlaps(metric, other)]
    cheapest = min(
        (row for row, other in scored if row is first or _overlaps(metric, other)),
        key=lambda row: row.cost.flops if row.cost else float("inf"),
    )
    text = f"{first.name} scores highest: balanced accuracy {fmt.metric_text(metric)}."
    if near:
        text += f" The intervals of {', '.join(near)} overlap it."
    if cheapest.cost and cheapest is not first:
        text += f" The cheapest of these is {cheapest.name} with {fmt.flops(cheapest.cost.flops)}."
    return text


def _overlaps(first: Metric, second: Metric) -> bool:
    if first.interval is None or second.interval is None:
        return False
    return second.interval.high >= first.interval.low


def what_improves(record: BenchmarkRecord) -> str:
    """What the survey names as improvements, each as a paired difference measured here."""
    names = {
        ("cnn_lstm", "cnn"): "reading the map with an LSTM",
        ("detrac", "resnet50"): "decomposing classes (DeTraC, ResNet-18) over a plain ResNet-50",
        ("covidnet", "resnet50"): "projection–expansion blocks (COVID-Net) over ResNet-50",
        ("covidnet", "vgg19"): "projection–expansion blocks (COVID-Net) over VGG-19",
    }
    found = [f"{what}: {_words(one)}" for pair, what in names.items() if (one := _comparison(record, *pair)) is not None]
    kinds = {row.pretraining for row in record.rows if row.kind != "control" and not row.failed}
    found.append(f"pretraining in this benchmark: {', '.join(sorted(kinds))}")
    return "; ".join(found) + "."


def _comparison(record: BenchmarkRecord, first: str, second: str) -> Comparison | None:
    for one in record.comparisons:
        if (
            one.metric == "balanced_accuracy"
            and one.note.startswith("sealed test")
            and (one.first, one.second) == (first, second)
        ):
            return one
    return None


def _words(one: Comparison) -> str:
    if one.difference is None or one.interval is None:
        return "not compared"
    ends = fmt.span(100 * one.interval.low, 100 * one.interval.high, 1)
    return f"{fmt.number(100 * one.difference, 1)} points of balanced accuracy ({ends}), {one.conclusion}"


def how_effective(record: BenchmarkRecord) -> str:
    """The best model beside the strongest control, and what the audit says."""
    scored = _scored(record)
    if not scored:
        return "No model was scored."
    row, metric = scored[0]
    covid = matching_class("covid", record.classes)
    sensitivity = fmt.find_metric(row.test, f"sensitivity[{covid}]") if covid else None
    text = f"The best, {row.name}, reaches balanced accuracy {fmt.metric_text(metric)}"
    text += f" and {fmt.metric_title(sensitivity.name).lower()} {fmt.metric_text(sensitivity)}." if sensitivity else "."
    controls = [
        (other, found)
        for other in record.rows
        if other.kind == "control" and (found := fmt.find_metric(other.test, "balanced_accuracy"))
    ]
    known = [(other, found) for other, found in controls if found.value is not None]
    if known:
        other, found = max(known, key=lambda pair: pair[1].value or 0.0)
        text += f" {other.name.removeprefix('control: ').capitalize()} without any view of the lungs' inside reach {fmt.metric_text(found)}."
    text += f" Audit: {fmt.verdict_text(row.finding.verdict if row.finding else None)}."
    return text


def what_is_better(record: BenchmarkRecord) -> str:
    """Only what a paired test says, adjusted for their number."""
    better = [
        one
        for one in record.comparisons
        if one.conclusion in ("better", "worse") and one.metric == "balanced_accuracy" and one.note.startswith("sealed test")
    ]
    said = [f"{one.first} is {one.conclusion} than {one.second} by {_words(one)}" for one in better]
    as_good = [
        f"{one.first} is not inferior to {one.second} ({_words(one)})"
        for one in record.comparisons
        if one.conclusion == "not inferior" and one.metric == "balanced_accuracy" and one.note.startswith("sealed test")
    ]
    text = "; ".join(said + as_good) or "No paired difference in balanced accuracy stands out of the noise after adjustment"
    rows = [row for row in record.rows if row.net_score is not None]
    if rows:
        top = max(rows, key=lambda row: row.net_score or 0.0)
        text += f". By NetScore, which pays for small networks, {top.name} leads with {fmt.number(top.net_score, 1)} dB"
    return text + "."


QUESTIONS: dict[str, Callable[[BenchmarkRecord], str]] = {
    "Which architectures suit the task?": which_suit,
    "What improves them?": what_improves,
    "How effective are they?": how_effective,
    "What is better?": what_is_better,
}
