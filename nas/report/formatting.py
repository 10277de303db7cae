"""How facts read: numbers with their uncertainty, figures with SI prefixes, text without control characters.

Every table, page and picture of the toolkit formats through these functions, so that the same fact reads the same everywhere.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from nas.engine.settings import OBJECTIVE_NAMES
from nas.records import BY_SEARCHING_AGAIN, CandidateRecord, Finding, Interval, Metric, SearchRecord, TrialRecord, Verdict
from search_spaces.catalogue import OWN

MINUS = "−"
MISSING = "–"
VERDICT_SIGNS: dict[str, str] = {"pass": "✓", "fail": "✕", "undecided": "?"}

#: Metric names (the part before a bracket) as a reader knows them; shares are printed in percent.
TITLES = {
    "log_loss": "Class-balanced log-loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "mcc": "MCC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "ece": "Calibration error (ECE)",
    "brier": "Brier score",
    "one_vs_rest_accuracy": "Mean one-vs-rest accuracy",
}
_SEEDS = "_over_seeds"
_PERCENT = frozenset({"accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "one_vs_rest_accuracy"})
_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def clean(text: object) -> str:
    """``text`` on one line without control, format or surrogate characters (ANSI escapes, bidi overrides, newlines)."""
    flat = "".join(" " if character in "\n\r\t" else character for character in str(text))
    return "".join(character for character in flat if unicodedata.category(character) not in ("Cc", "Cf", "Cs"))


def number(value: float | None, digits: int = 3) -> str:
    """A plain figure with ``digits`` decimals, a true minus sign, and a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if text.startswith("-"):
        text = text[1:] if float(text) == 0 else MINUS + text[1:]
    return text


def plain(value: float | None) -> str:
    """A figure that may be a count: whole numbers without decimals."""
    return number(value, 0 if value is not None and math.isfinite(value) and value == round(value) else 3)


def si(value: float | None, digits: int = 3) -> str:
    """A count with an SI prefix and ``digits`` significant digits: 38 400 000 → ``38.4 M``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for scale, prefix in _SI:
        if abs(value) >= scale * (1 - 0.5 * 10**-digits):
            return f"{_significant(value / scale, digits)} {prefix}"
    return _significant(value, digits)


def tick(value: float) -> str:
    """A round count beside an axis: ``5 M``."""
    scale, prefix = next(((scale, prefix) for scale, prefix in _SI if abs(value) >= scale), (1.0, ""))
    return f"{value / scale:g} {prefix}".strip()


def flops(value: float | None) -> str:
    """FLOPs (one multiply–accumulate counts once): ``38.4 MFLOPs``."""
    text = si(value)
    return text if text == MISSING else f"{text}{'' if text[-1].isalpha() else ' '}FLOPs"


def size(value: float | None) -> str:
    """Bytes in binary units: ``1.5 MiB``."""
    if value is None:
        return MISSING
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale:
            return f"{_significant(value / scale, 3)} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds for a person: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def date(iso: str) -> str:
    """An ISO 8601 time as ``2026-11-23 15:12 UTC``; anything else comes back cleaned and unchanged."""
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return clean(iso)


def is_share(name: str) -> bool:
    """Whether a metric is a share that is printed in percent."""
    return name.split("[")[0].removesuffix(_SEEDS) in _PERCENT


def metric_title(name: str) -> str:
    """``sensitivity[covid]`` → ``Sensitivity, covid``."""
    base, _, rest = name.partition("[")
    plain = base.removesuffix(_SEEDS)
    title = TITLES.get(plain, plain.replace("_", " ").capitalize()) + ("" if plain == base else " over seeds")
    return clean(f"{title}, {rest.rstrip(']')}" if rest else title)


def objective_name(objective: str) -> str:
    """What a search minimises, inside a line: ``log-loss``, ``1 − AUROC``."""
    return OBJECTIVE_NAMES[objective][0]


def objective_title(objective: str) -> str:
    """The same as a column's title: ``Log-loss``."""
    name = objective_name(objective)
    return name[0].upper() + name[1:]


def objective_axis(objective: str) -> str:
    """The same in full, beside an axis: ``class-balanced log-loss (nats)``."""
    return OBJECTIVE_NAMES[objective][1] + (" (nats)" if objective == "log_loss" else "")


def metric_value(metric: Metric | None) -> str:
    """The point estimate alone: ``87.4 %`` or ``0.912``."""
    if metric is None or metric.value is None:
        return MISSING
    return f"{number(100 * metric.value, 1)} %" if is_share(metric.name) else number(metric.value, _digits(metric.value))


def metric_interval(metric: Metric | None) -> str:
    """The interval alone: ``82.1–91.3`` in the unit of the value; empty where there is none."""
    if metric is None or metric.interval is None:
        return ""
    if is_share(metric.name):
        return span(100 * metric.interval.low, 100 * metric.interval.high, 1)
    return span(metric.interval.low, metric.interval.high, _digits(metric.interval.high))


def _digits(value: float) -> int:
    """Three decimals for what lies around one, fewer for larger figures (milliseconds, images a second)."""
    return 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def metric_text(metric: Metric | None) -> str:
    """Value with interval and what it rests on: ``87.4 % (82.1–91.3; n = 214 images, 180 groups)``."""
    if metric is None:
        return MISSING
    if metric.value is None:
        return clean(f"not estimable: {metric.note}" if metric.note else "not estimable")
    interval = metric_interval(metric)
    basis = f"n = {metric.n} {plural(metric.n, 'image')}, {metric.groups} {plural(metric.groups, 'group')}"
    return f"{metric_value(metric)} ({interval + '; ' if interval else ''}{basis})"


def span(low: float, high: float, digits: int) -> str:
    """A range; with "to" instead of a dash where an end is negative."""
    first, second = number(low, digits), number(high, digits)
    return f"{first} to {second}" if MINUS in first + second else f"{first}–{second}"


def effect_text(effect: float | None, interval: Interval | None, unit: str) -> str:
    """An effect with its interval and unit: ``0.04 (−0.01 to 0.09) σ``."""
    if effect is None:
        return MISSING
    text = number(effect) + (f" ({span(interval.low, interval.high, 3)})" if interval else "")
    return f"{text} {unit_text(unit)}".strip()


def unit_text(unit: str) -> str:
    """Units as written in figures."""
    return {"sigma": "σ", "share": "", "AUC": ""}.get(unit, clean(unit))


def find_metric(metrics: Iterable[Metric], name: str, *parts: str) -> Metric | None:
    """The first metric called ``name``, on the first of ``parts`` that has it (any part where none is given)."""
    named = [metric for metric in metrics if metric.name == name]
    for part in parts:
        for metric in named:
            if metric.part == part:
                return metric
    return named[0] if named else None


def plural(count: int, noun: str) -> str:
    """``image`` or ``images``."""
    return noun if count == 1 else (noun[:-1] + "ies" if noun.endswith("y") else noun + "s")


def asked_text(finding: Finding) -> str:
    """How many images, of how many groups, were asked about; a screen asks about some of those that it was given."""
    asked = max(finding.tests, key=lambda test: test.n, default=None)
    if asked is None or asked.n >= finding.n:
        return f"{finding.n} images of {finding.groups} groups"
    return f"{asked.n} of {finding.n} images, {asked.groups} of {finding.groups} groups"


def verdict_of(subject: CandidateRecord | TrialRecord) -> Verdict | None:
    """The audit's verdict on a candidate or a trial, ``None`` where it was not audited."""
    if isinstance(subject, TrialRecord):
        return subject.verdict
    return subject.finding.verdict if subject.finding else None


def export_options(record: SearchRecord, candidate: CandidateRecord) -> str:
    """Options of ``nas export`` for plain source, which a space of one's own and a crop to the lungs do not have: ONNX for those."""
    plain = record.space in OWN and "lungs" not in crop_text(record, candidate).split("+")
    return "--format source --out DIR" if plain else "--format onnx --out FILE.onnx"


def crop_text(record: SearchRecord, candidate: CandidateRecord) -> str:
    """The crop of an image before a candidate sees it, in the words of ``--crop``."""
    crop = str(record.settings.get("crop", "none"))
    if not candidate.cropped:
        return crop
    return "lungs" if crop == "none" else f"{crop}+lungs"


def answer_text(name: str) -> str:
    """An answer to a finding by name, with what to do where it is no training option."""
    return f"{name} ({BY_SEARCHING_AGAIN[name]})" if name in BY_SEARCHING_AGAIN else name


def answered_text(candidate: CandidateRecord) -> str | None:
    """What retraining by the options that answer its finding changed; ``None`` where that was not asked for or not needed."""
    story = candidate.answered
    if not story:
        return None
    if not story["answers"]:
        return f"Not retrained: {story['note']}"
    before, after = (
        metric_value(find_metric([Metric.model_validate(m) for m in story[key]], "balanced_accuracy", "audit"))
        for key in ("metrics_before", "metrics_after")
    )
    return (
        f"Retrained with {', '.join(story['answers'])}: {story['failure']}. Verdict {story['verdict_before']} → {story['verdict_after']}, balanced "
        f"accuracy on the audit part {before} → {after}; before: {story['reason_before']}"
    )


def verdict_text(verdict: str | None) -> str:
    """``✓ pass``; never colour alone."""
    return f"{VERDICT_SIGNS[verdict]} {verdict}" if verdict in VERDICT_SIGNS else "not audited"


def _significant(value: float, digits: int) -> str:
    """``digits`` significant digits without an exponent: 38.4, 1.00, 512."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{value:.{decimals}f}"
    return MINUS + text[1:] if text.startswith("-") else text
