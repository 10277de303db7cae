"""What several pages share: the sections on a finding and on the data, and how to reproduce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nas.records import AuditRecord, BenchmarkRecord, DataSummary, Finding, SearchRecord, TestResult
from nas.report import formatting as fmt
from nas.report.cells import Cell, Row, Table, count_cell, effect_cell, parts_table, sources_table, table
from nas.report.charts.bars import Bar, bars
from nas.report.charts.intervals import interval_plot, margins_text
from nas.report.pictures import Embedded, embed

_IMPACT = {"impact": "Impact score", "drop": "Log-odds lost"}


@dataclass(frozen=True)
class TestGroup:
    """The tests on one class (one-vs-rest)."""

    __test__ = False  # not a pytest class

    class_name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class FindingView:
    """A finding as the page shows it."""

    name: str
    record: Finding
    basis: str
    gates: tuple[Row, ...]
    tests: tuple[TestGroup, ...]
    attributions: Table | None
    pictures: tuple[Embedded, ...]
    blocks: Markup | None


@dataclass(frozen=True)
class DataView:
    """A data summary as the page shows it."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    parts: Table
    sources: Table


def finding_view(name: str, finding: Finding, bases: Sequence[Path]) -> FindingView:
    """Gates, tests by class, attribution, pictures and block importances of one finding."""
    excluded = "; ".join(f"{count} excluded: {reason}" for reason, count in finding.excluded.items())
    basis = f"{finding.level} audit on {fmt.asked_text(finding)}, seed {finding.seed}"
    names = list(dict.fromkeys(test.class_name for test in finding.tests))
    groups = tuple(TestGroup(c, tuple(_test_row(t) for t in finding.tests if t.class_name == c)) for c in names)
    return FindingView(
        name, finding, f"{basis}. {excluded}".strip(), tuple(_gate_rows(finding)), groups,
        _attributions(finding), embed(finding.pictures, bases), _block_chart(finding),
    )  # fmt: skip


def _gate_rows(finding: Finding) -> list[Row]:
    return [
        Row(
            (
                Cell(gate.name, class_="key"),
                Cell("✓ yes" if gate.passed else "✕ no", class_="key"),
                count_cell(gate.value, fmt.plain(gate.value)),
                Cell(gate.rule, class_="text"),
                Cell(gate.note, class_="text"),
            )
        )
        for gate in finding.gates
    ]


def _test_row(test: TestResult) -> Row:
    return Row(
        (
            Cell(
                f"{test.test} {test.title}", sub=test.statistic + (f", fill: {test.fill}" if test.fill else ""), class_="text"
            ),
            Cell(verdict=test.verdict, class_="key"),
            Cell(html=interval_plot(test) if test.fail_margin is not None else None, sub=margins_text(test), class_="plot"),
            effect_cell(test),
            Cell(str(test.n), sub=f"{test.groups} groups"),
            Cell(test_reason(test), class_="text"),
        )
    )


def test_reason(test: TestResult) -> str:
    """The test's reason, with what would settle an undecided one."""
    parts = [test.reason.rstrip(".")] if test.reason else []
    if test.verdict == "undecided" and test.groups_needed:
        parts.append(f"about {test.groups_needed} groups would settle it")
    if test.minimum_detectable_effect is not None and test.verdict != "fail":
        parts.append(
            f"smallest detectable effect {fmt.number(test.minimum_detectable_effect)} {fmt.unit_text(test.unit)}".strip()
        )
    return "; ".join(parts)


def _attributions(finding: Finding) -> Table | None:
    """Free-form rows: the union of their printable columns, words before figures; a column that says nothing is left out."""
    rows = finding.attributions
    keys = dict.fromkeys(k for row in rows for k, v in row.items() if isinstance(v, int | float) or (isinstance(v, str) and v))
    numeric = {key: any(isinstance(row.get(key), float | int) for row in rows) for key in keys}
    ordered = sorted(keys, key=lambda key: (key != "method", key != "status", numeric[key]))
    if not ordered:
        return None
    impacts = [name for name in _IMPACT if any(name in row.get("impact", {}) for row in rows)]
    columns = [(_words(key).capitalize().replace(" auc", " AUC"), numeric[key]) for key in ordered]
    columns += [(_IMPACT[name], True) for name in impacts]
    plain = ([Cell(_plain(row.get(k)), class_="" if numeric[k] else "text") for k in ordered] for row in rows)
    return table(
        columns, ([*cells, *(_impact_cell(row, name) for name in impacts)] for row, cells in zip(rows, plain, strict=True))
    )


def _impact_cell(row: dict[str, Any], name: str) -> Cell:
    """What removing a method's regions does, above what removing random ones of the same shapes does."""
    found = row.get("impact", {}).get(name)
    if found is None:
        return Cell(fmt.MISSING)
    return Cell(fmt.number(found["score"]), sub=f"random region {fmt.number(found['random'])}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return fmt.number(value)
    return fmt.MISSING if value in (None, "") else _words(str(value))


def _block_chart(finding: Finding) -> Markup | None:
    if not finding.block_importances:
        return None
    ordered = sorted(finding.block_importances.items(), key=lambda item: -item[1])[:24]
    return bars(
        [Bar(name, value, text=fmt.number(value)) for name, value in ordered],
        "What each block carries",
        "drop of the correct-class margin without the block (σ)",
        caption="Causal: the block answers every image by its mean response, and the decision is observed.",
        x_format=lambda value: fmt.number(value, 2),
    )


def picture_folders(home: Path) -> tuple[Path, ...]:
    """A directory and its folders that jobs put pictures into."""
    return home, home / "pictures", home / "audit"


def data_view(data: DataSummary) -> DataView:
    """Counts, confounding warnings, parts and sources."""
    facts = [
        ("Data", ", ".join(data.spec)),
        ("Fingerprint", data.fingerprint),
        ("Images", f"{data.images} images of {data.groups} independent groups at {data.image_size} × {data.image_size} px"),
        ("Lung masks", f"{data.with_mask} of {data.images}"),
        ("Classes", ", ".join(f"{name}: {count}" for name, count in data.classes.items())),
        *more_facts(data),
    ]
    if data.trivial_features is not None:
        facts.append(
            (
                "Trivial features alone",
                f"{fmt.metric_title(data.trivial_features.name)} {fmt.metric_text(data.trivial_features)}",
            )
        )
    facts += [("Skipped", f"{count} {fmt.plural(count, 'file')}: {reason}") for reason, count in data.skipped.items()]
    return DataView(tuple(facts), data.warnings, parts_table(data), sources_table(data))


def more_facts(data: DataSummary) -> list[tuple[str, str]]:
    """Groups and masks by class, native sizes, and how far the source gives the class away; what was not counted is left out."""
    facts = []
    if data.groups_per_class:
        facts.append(("Groups by class", ", ".join(f"{name}: {count}" for name, count in data.groups_per_class.items())))
    if data.masks_per_class:
        facts.append(("Masks by class", ", ".join(f"{name}: {count}" for name, count in data.masks_per_class.items())))
    if {"least", "median", "greatest"} <= set(data.native_sizes):
        least, median, greatest = (f"{data.native_sizes[name]:.0f}" for name in ("least", "median", "greatest"))
        facts.append(("Native size", f"longer side {least} to {greatest} px, median {median} px"))
    if data.source_association is not None:
        facts.append(
            (
                "Class against source",
                f"Cramér's V {fmt.number(data.source_association, 2)} (1: the source gives the class away)",
            )
        )
    return facts


def reproduce(
    record: SearchRecord | AuditRecord | BenchmarkRecord, seed: int | None, more: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Seed, data fingerprint, versions, and what the page adds."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    facts = [("Toolkit", f"pepx-nas {record.toolkit}"), ("Versions", versions or fmt.MISSING)]
    if seed is not None:
        facts.append(("Seed", str(seed)))
    facts += [("Data fingerprint", record.data.fingerprint), ("Created", fmt.date(record.created)), *more.items()]
    return facts


def openings_warning(count: int) -> list[str]:
    """A sentence from the second opening of the sealed test on."""
    if count < 2:
        return []
    return [f"Opening {count} of the sealed test part: figures on it are no longer unbiased."]
