"""The live view: plain lines without a terminal, a display on one, nothing when quiet; counts, front and time left."""

from __future__ import annotations

import io

import numpy as np
import pytest
from report_factories import history, trial
from rich.console import Console

from nas.engine.progress import Progress
from nas.records import Accounting
from nas.report.dashboard import Dashboard, State
from nas.report.live import Lines, Live, Several, make_progress
from nas.report.text_plot import sparkline
from search_spaces.errors import InputError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def play(progress: Progress, trials: int = 3) -> None:
    """A short search."""
    rng = np.random.default_rng(0)
    for number in range(trials):
        record = trial(number, rng)
        progress.trial_started(number, record.key, record.cost.flops)
        for epoch in history(0.5, 3):
            progress.epoch(number, epoch)
        progress.trial_finished(record)
        progress.accounting(Accounting(proposed=3 * number + 3, repeated=number, over_budget=number, completed=number + 1))
    progress.message("retraining\x1b[2J the front")


def test_without_a_terminal_lines_are_written():
    out = io.StringIO()
    console = Console(file=out, force_terminal=False)
    with make_progress(trials=5, console=console) as progress:
        play(progress)
    lines = out.getvalue().splitlines()
    assert len(lines) == 10  # a start, an end and the counts a trial, and the message
    assert "trial 0 starts: cells-" in lines[0]
    assert "balanced accuracy" in lines[1]
    assert "2 of 5 done" in lines[5]
    assert "\x1b" not in out.getvalue()


def test_quiet_writes_nothing_but_a_log_if_asked(tmp_path):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True)
    log = tmp_path / "log" / "search.log"
    with make_progress(quiet=True, log=log, console=console) as progress:
        play(progress)
    assert out.getvalue() == ""
    assert len(log.read_text().splitlines()) == 10
    with make_progress(quiet=True, console=console) as progress:
        play(progress)
    assert out.getvalue() == ""


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for log, why in ((tmp_path, "Is a directory"), (tmp_path / "file" / "search.log", "directory|exists")):
        with pytest.raises(InputError, match=rf"cannot write to --log {log}: .*({why})"), make_progress(log=log):
            pass


def test_on_a_terminal_a_display_is_drawn_and_messages_stay():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with make_progress(trials=3, console=console) as progress:
        assert isinstance(progress, Live)
        play(progress)
    text = out.getvalue()
    assert "retraining[2J the front" in text
    assert "3 of 3 done" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_the_display_shows_running_trials_front_and_counts():
    clock = Clock()
    state = State(10, clock)
    rng = np.random.default_rng(1)
    for number in range(4):
        state.trial_finished(trial(number, rng))
    state.accounting(Accounting(proposed=20, repeated=3, over_budget=9, pruned=1, failed=2, completed=4))
    state.trial_started(7, "pepx-abc", 12_000_000)
    for epoch in history(0.4, 5):
        state.epoch(7, epoch)
    clock.now = 100.0
    out = io.StringIO()
    console = Console(file=out, width=140)
    console.print(Dashboard(state, console).render())
    text = out.getvalue()
    for words in (
        "5 of 10 done",
        "20 proposed",
        "9 over budget",
        "2 failed",
        "7: pepx-abc",
        "12.0 MFLOPs",
        "Front so far",
        "█",
        "640",
    ):
        assert words in text
    assert "2 min 05 s left" in text  # 5 to go, at 4 in 100 seconds


def test_another_objective_is_called_by_its_name():
    out = io.StringIO()
    lines = Several([Lines(out)])
    lines.objective("auroc")
    play(lines, 1)
    assert f"1 − AUROC {trial(0, np.random.default_rng(0)).quality:.3f}" in out.getvalue()
    assert "log-loss" not in out.getvalue()
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with Live(console) as live:
        live.objective("balanced_accuracy")
        live.trial_finished(trial(0, np.random.default_rng(0)))
        assert "1 − balanced accuracy" in rendered(live)
        assert "Log-loss" not in rendered(live)


def rendered(live: Live) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(live._display.render())
    return console.file.getvalue()


def test_an_epoch_of_an_unknown_trial_is_ignored_and_a_restart_begins_anew():
    state = State()
    state.epoch(3, history(0.5, 1)[0])
    state.trial_started(3, "k", 1)
    state.epoch(3, history(0.5, 1)[0])
    state.trial_started(3, "k", 1)
    assert state.running[3].history == []
    assert state.remaining() is None


def test_long_trials_speak_of_their_epochs(monkeypatch):
    out = io.StringIO()
    clock = Clock()
    monkeypatch.setattr("nas.report.live.time.monotonic", clock)
    lines = Lines(out)
    lines.trial_started(0, "k", 1)
    for epoch in history(0.5, 4):
        clock.now += 20
        lines.epoch(0, epoch)
    assert sum("epoch" in line for line in out.getvalue().splitlines()) == 2


def test_sparklines():
    assert sparkline([3, 2, 1]) == "█▅▁"
    assert sparkline([1, 1, 1]) == "▁▁▁"
    assert sparkline([float("nan"), 1.0]) == " ▁"
    assert sparkline([]) == ""
    assert len(sparkline(range(100))) == 12
