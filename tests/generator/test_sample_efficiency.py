"""The script that measures samplers on tabular problems, as its user runs it; here on a synthetic one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance.generator import AT, main

PROBLEM = ["--problems", "synthetic-pairs-0", "--samplers", "random", "--seeds", "2"]


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]


def test_a_short_run_fills_no_column_that_is_not_its_own(tmp_path: Path, capsys) -> None:
    main([*PROBLEM, "--evaluations", "10", "--runs", str(tmp_path / "runs")])
    head, _, row = rows(capsys)
    assert len(row) == len(head)
    assert [cell.strip() for cell in row[2 : 2 + len(AT)]] == ["–"] * len(AT)


def test_a_run_that_ended_at_the_top_does_not_stand_for_a_whole_one(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for stop in ([], ["--stop-at-top"], [], ["--stop-at-top"]):
        main([*PROBLEM, "--evaluations", "25", "--runs", str(runs), *stop])
    assert len(runs.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--problems", "macro", "--tables", "."], "no problem called 'macro'"),
        (["--problems", "macro-p25", "--tables", "."], "nasbench_macro.csv, which is not there"),
        (["--problems", "macro-p25", "--tables", "nowhere"], "no folder of tables"),
        ([*PROBLEM, "--samplers", "annealing"], "unknown sampler 'annealing'"),
    ],
)
def test_what_it_cannot_run_is_said_in_one_line(options: list[str], message: str, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*options, "--runs", str(tmp_path / "runs")])
    assert message in capsys.readouterr().err.splitlines()[-1]
