"""CSV, LaTeX, model card and notebook card: whole, parseable, inert."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_factories import CLASSES, audit_record, benchmark_record, data_summary, finding, search_record

from nas.records import Interval, Metric
from nas.report.card import escaped, model_card, write_card
from nas.report.cells import Cell, metrics_by_part, table
from nas.report.notebook import html
from nas.report.tables import (
    as_csv,
    audit_csv,
    benchmark_csv,
    benchmark_latex,
    front_csv,
    latex,
    latex_table,
    trials_csv,
    write_tables,
)

ROOT = str(Path(__file__).parents[2])
EVIL = "<script>alert(1)</script>|`x`\n# no\x1b[2J"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_trial_is_a_line_with_its_decisions_and_intervals():
    record = search_record()
    rows = rows_of(trials_csv(record))
    assert len(rows) == len(record.trials)
    first = record.trials[0]
    assert float(rows[0]["objective"]) == first.quality
    assert rows[0]["stem.kernel"] == str(first.architecture["choices"]["stem.kernel"])
    metric = first.metrics[0]
    assert float(rows[0][f"{metric.name}.low"]) == metric.interval.low
    failed = next(row for row in rows if row["outcome"] == "failed")
    assert failed["objective"] == ""
    assert "NaN" in failed["reason"]


def test_front_and_audit_are_long_tables():
    record = search_record()
    assert len(rows_of(front_csv(record))) == sum(len(one.metrics) for one in record.front)
    audit = audit_record()
    rows = rows_of(audit_csv(audit))
    assert len(rows) == len(audit.finding.tests)
    assert {row["class"] for row in rows} == set(CLASSES)


def test_a_benchmark_is_a_long_table_and_a_paper_table():
    record = benchmark_record()
    rows = rows_of(benchmark_csv(record))
    failed = [row for row in rows if row["figure"] == "failed"]
    assert [(row["model"], row["note"]) for row in failed] == [("covid_resnet", "out of memory at batch 32")]
    assert len(rows) == len(failed) + sum(len(r.test) + len(r.folds) + len(r.by_source) for r in record.rows)
    tex = benchmark_latex(record)
    assert r"covid\_resnet & 1100.0 &" in tex
    assert tex.count(r"\\") == len(record.rows) + 1
    first = record.rows[0]
    metric = next(m for m in first.test if m.name == "balanced_accuracy")
    assert f"{metric.value:.3f} ({metric.interval.low:.3f}--{metric.interval.high:.3f})" in tex


def test_metrics_are_laid_out_by_part_the_test_first():
    def metric(name, part, value):
        return Metric(name=name, value=value, interval=Interval(low=0.1, high=0.9, method="m"), n=20, groups=7, part=part)

    overall, by_class = metrics_by_part(
        [metric("auroc", "validation", 0.5), metric("auroc", "test", 0.75), metric("sensitivity[covid]", "audit", 0.4)]
    )
    assert [title for title, _ in overall.columns] == [
        "Metric", "Test (95 %)", "Audit (95 %)", "Validation (95 %)", "Interval by",
    ]  # fmt: skip
    assert [[cell.text for cell in row.cells] for row in overall.rows] == [["AUROC", "0.750", "–", "0.500", "m"]]
    assert overall.rows[0].cells[1].sub == "0.100–0.900\nn = 20, 7 groups"
    assert [[cell.text for cell in row.cells] for row in by_class.rows] == [["Sensitivity, covid", "–", "40.0 %", "–", "m"]]


def test_formulas_become_text():
    assert as_csv(("a",), [("=1+1",), (-2.0,), (None,)]).splitlines() == ["a", "'=1+1", "-2.0", '""']


def test_latex_is_escaped_and_rectangular():
    made = latex_table(
        table((("A_b", False), ("n", True)), [(Cell("50 % & more"), Cell("1", sub="−1–2")), (Cell(verdict="none"), Cell("3"))])
    )
    assert r"50 \% \& more & 1 ($-$1--2) \\" in made
    assert r"A\_b & n \\" in made
    assert "not audited" in made
    assert latex("\\x{~^") == r"\textbackslash{}x\{\textasciitilde{}\textasciicircum{}"


def test_tables_are_written_beside_the_record(tmp_path):
    assert [path.name for path in write_tables(search_record(), tmp_path)] == ["trials.csv", "front.csv", "front.tex"]
    assert [path.name for path in write_tables(audit_record(), tmp_path)] == ["tests.csv"]
    assert all(path.stat().st_size for path in tmp_path.iterdir())


def test_the_card_says_what_must_be_said(tmp_path):
    record = search_record()
    text = write_card(record, record.best, tmp_path).read_text(encoding="utf-8")
    for words in (
        "Not a medical device",
        "Intended use",
        "0f1e2d3c4b5a6978",
        "What the audit cannot see",
        "load_candidate",
        "audit verdict is fail",
        "Controls",
        "**fail**",
    ):
        assert words in text
    bare = record.best.model_copy(update={"finding": None, "unmet": ()})
    assert "**Not audited**" in model_card(record, bare)


def test_the_card_says_what_classes_merge_how_images_are_cropped_and_what_was_left_out():
    record = search_record()
    settings = {**record.settings, "classes": ("normal", "ill=covid+pneumonia"), "crop": "top=0.08+square"}
    text = model_card(record.model_copy(update={"settings": settings}), record.best)
    for words in ("ill=covid+pneumonia", "top=0.08+square", "left out: 3 files, not an image"):
        assert words in text
    plain = model_card(record, record.best)
    assert f"| {', '.join(map(escaped, record.data.classes))} |" in plain


def test_names_are_inert_in_the_card():
    classes = ("normal", "pneumonia", EVIL)
    record = search_record().model_copy(update={"data": data_summary(classes, spec=EVIL), "command": "nas search ``` <b>"})
    candidate = record.best.model_copy(update={"name": EVIL, "finding": finding("fail", classes=classes)})
    text = model_card(record, candidate)
    outside = "".join(part for index, part in enumerate(text.split("```")) if index % 2 == 0)
    assert "<script>" not in outside
    assert "\x1b" not in text
    assert "\n# no" not in outside
    assert escaped("a|b") == "a\\|b"


class Tags(HTMLParser):
    """Names of all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)


@pytest.mark.parametrize("kind", ["search", "audit", "benchmark"])
def test_notebook_cards_are_small_and_inert(kind):
    classes = ("normal", "pneumonia", EVIL)
    record = {
        "search": search_record().model_copy(update={"data": data_summary(classes)}),
        "audit": audit_record().model_copy(update={"finding": finding("fail", classes=classes)}),
        "benchmark": benchmark_record(classes),
    }[kind]
    text = html(record)
    assert "script" not in Tags(text).names
    assert "\x1b" not in text
    assert len(text) < 60_000


def test_a_record_shows_itself_in_a_notebook_that_imported_nothing_of_the_report(tmp_path):
    (tmp_path / "run.json").write_text(search_record().to_json())
    code = "import pathlib, nas.records as r; print(r.SearchRecord.model_validate_json(pathlib.Path('run.json').read_text())._repr_html_())"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True
    )
    assert shown.stdout.decode().startswith("<div class='pn'>"), shown.stderr.decode()


def test_a_record_of_files_whose_names_are_no_utf8_is_one_json_document():
    record = data_summary().model_copy(update={"spec": ("gr\udcfcn",)})
    assert type(record).model_validate(json.loads(record.to_json())) == record
