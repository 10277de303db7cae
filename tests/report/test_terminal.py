"""Terminal tables: whole, cleaned, and each test as one line against its margins."""

from __future__ import annotations

import io

import pytest
from report_factories import CLASSES, audit_record, benchmark_record, data_summary, search_record, test_result
from rich.console import Console

from nas.records import Gate
from nas.report import formatting as fmt
from nas.report.search_page import front_table
from nas.report.terminal import print_audit, print_benchmark, print_data, print_search
from nas.report.text_plot import interval_line
from search_spaces import get_space

EVIL = "co\x1b]0;pwned\x07vid[/red]\u202e"


def shown(function, record, width=150, **options) -> str:
    out = io.StringIO()
    function(record, console=Console(file=out, width=width, highlight=False), **options)
    return out.getvalue()


def test_a_search_prints_front_winner_best_paths_and_page():
    text = shown(print_search, search_record(), profile=True)
    for words in (
        "winner: winner-of-run",
        "best: best-of-run",
        "saved in candidates/winner-of-run",
        "✓ pass",
        "✕ fail",
        "page: runs/real",
        "28 over budget",
        "86 %",
        "control, validation",
    ):
        assert words in text
    text = shown(print_search, search_record(8, winner=False))
    assert "winner: none" in text
    assert "unmet: audit verdict: fail" in text


def test_an_audit_prints_each_test_as_a_line_with_its_interval():
    text = shown(print_audit, audit_record())
    lines = [line for line in text.splitlines() if "T3 background donor swap" in line]
    assert len(lines) == len(CLASSES)
    assert all("◆" in line or "▶" in line for line in lines)
    assert "verdict: ✕ fail" in text
    assert "cannot see: devices inside the lungs" in text
    assert "✕ gate edit realism = 0.630" in text


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_terminal_is_too_narrow_for_a_column_or_cuts_a_figure(width):
    record = search_record()
    table, text = front_table(record, paths=False), shown(print_search, record, width)
    figures = [cell for row in table.rows for cell, (_, numeric) in zip(row.cells, table.columns, strict=True) if numeric]
    assert all(cell.text in text and cell.sub in text for cell in figures)
    assert "Requirements" in text
    assert all(
        fmt.effect_text(test.effect, test.interval, "") in shown(print_audit, audit_record(), width)
        for test in audit_record().tests
    )


@pytest.mark.parametrize("width", range(90, 200, 5))
def test_a_table_that_is_drawn_is_drawn_to_its_right_edge(width):
    for text in (shown(print_search, search_record(), width), shown(print_benchmark, benchmark_record(), width)):
        lines = [line.rstrip() for line in text.splitlines() if line[:1] in ("┏", "┃", "┡", "│", "└")]
        assert all(line[-1] in "┓┃┩│┘" for line in lines)
        assert "Parameters" in text  # a title's words stay whole, too


def test_a_gate_that_counts_prints_a_count():
    gate = Gate(name="groups", passed=False, value=2.0, rule="at least 50 groups in every class")
    record = audit_record()
    record = record.model_copy(update={"finding": record.finding.model_copy(update={"gates": (gate,)})})
    assert "✕ gate groups = 2 (at least" in shown(print_audit, record)


def test_what_a_search_says_to_export_is_what_its_networks_can_be_written_as():
    theirs, ours = search_record(), search_record(space=get_space("fire"))
    assert "--format onnx --out FILE.onnx" in shown(print_search, theirs)
    assert "--format onnx" in shown(print_search, ours.model_copy(update={"settings": {"crop": "top=0.1+lungs"}}))
    assert "--format source --out DIR" in shown(print_search, ours.model_copy(update={"settings": {"imports": ["my_reader"]}}))


def test_an_audit_says_which_answer_takes_another_search():
    assert "what answers it: marker, crop_body (search again with --crop lungs), donor_swap" in shown(
        print_audit, audit_record()
    )


def test_a_benchmark_prints_failures_and_openings():
    text = shown(print_benchmark, benchmark_record(), 220)
    for words in ("covid_resnet failed: out of memory", "opening 2 of the sealed test", "within noise", "pretraining imagenet"):
        assert words in text


def test_data_prints_sources_parts_and_warnings():
    text = shown(print_data, data_summary())
    for words in ("hannover", "validation", "warning: Class covid occurs in one source only", "skipped: 3 files"):
        assert words in text


def test_data_prints_groups_masks_and_sizes():
    sizes = {"least": 512.0, "median": 1024.0, "greatest": 3000.0, "aspect": 1.1}
    counted = {"groups_per_class": {"normal": 401, "covid": 9}, "masks_per_class": {"normal": 300, "covid": 7}}
    text = shown(print_data, data_summary().model_copy(update={**counted, "native_sizes": sizes}), 200)
    for words in ("normal: 401, covid: 9", "normal: 300, covid: 7", "longer side 512 to 3000 px, median 1024 px"):
        assert words in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_from_data_controls_the_terminal(width):
    classes = ("normal", "pneumonia", EVIL)
    for function, record in (
        (print_benchmark, benchmark_record(classes)),
        (print_data, data_summary(classes, spec=EVIL)),
        (print_audit, audit_record().model_copy(update={"model": EVIL})),
    ):
        text = shown(function, record, width)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
    assert "[/red]" in shown(print_audit, audit_record().model_copy(update={"model": EVIL}))


def test_interval_lines_place_zones_interval_and_estimate():
    inside = interval_line(test_result("T3", "swap", 0.0, 0.02, 0.10, 0.20, "pass"), 31).plain
    assert inside[15] == "◆"
    assert inside[0] == inside[-1] == "░"
    assert "─" in inside
    beyond = interval_line(test_result("T3", "swap", 2.0, 0.02, 0.10, 0.20, "fail"), 31).plain
    assert beyond[-1] == "▶"
    drop = interval_line(test_result("T2", "only", 0.0, 0.01, 0.05, 0.10, "pass", details={"upper_only": True}), 31).plain
    assert drop[0] == "─"
