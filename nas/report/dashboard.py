"""The live display itself: what is running, its curves, the front so far, the counts and the time that remains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.engine.front import pareto_front
from nas.records import Accounting, EpochRecord, TrialRecord
from nas.report import formatting as fmt
from nas.report.text_plot import sparkline

MOST_RUNNING, MOST_FRONT = 8, 6
_VERDICTS = {"pass": "green", "fail": "red", "undecided": "yellow"}


@dataclass
class Running:
    """A trial under way."""

    key: str
    flops: int
    started: float
    history: list[EpochRecord] = field(default_factory=list)


class State:
    """What the events have said so far; safe to read from the display's thread.

    Args:
        trials: how many completed trials are wanted, if known.
        clock: seconds; replaced in tests.
    """

    def __init__(self, trials: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.trials = trials
        self.objective = "log_loss"
        self.clock = clock
        self.started = clock()
        self.running: dict[int, Running] = {}
        self.finished: list[TrialRecord] = []
        self.counts = Accounting()
        self.lock = threading.RLock()

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """A trial begins (or begins anew, after its worker died)."""
        with self.lock:
            self.running[number] = Running(key, flops, self.clock())

    def epoch(self, number: int, record: EpochRecord) -> None:
        """An epoch of a trial ended; of a trial that never started here, it is ignored."""
        with self.lock:
            if number in self.running:
                self.running[number].history.append(record)

    def trial_finished(self, record: TrialRecord) -> None:
        """A trial ended."""
        with self.lock:
            self.running.pop(record.number, None)
            self.finished.append(record)

    def accounting(self, counts: Accounting) -> None:
        """The study's own counts, which include other workers' and earlier sessions'."""
        with self.lock:
            self.counts = counts

    def done(self) -> int:
        """Trials that count towards the wanted number."""
        return max(self.counts.completed + self.counts.pruned, sum(t.outcome in ("completed", "pruned") for t in self.finished))

    def remaining(self) -> float | None:
        """Seconds that are left at the pace of this session; ``None`` before its first finished trial or without a goal."""
        here = sum(t.outcome in ("completed", "pruned") for t in self.finished)
        if self.trials is None or here == 0:
            return None
        return max(self.trials - self.done(), 0) * (self.clock() - self.started) / here

    def summary(self) -> str:
        """Counts on one line."""
        c, goal = self.counts, f" of {self.trials}" if self.trials else ""
        rest = self.remaining()
        words = f"{self.done()}{goal} done, {c.proposed} proposed, {c.repeated} repeated, {c.over_budget} over budget, {c.pruned} pruned, {c.failed} failed"
        return words + (f", about {fmt.duration(rest)} left" if rest else "")


class Dashboard:
    """Draws a ``State`` four times a second below whatever is said."""

    def __init__(self, state: State, console: Console) -> None:
        self._state = state
        self._console = console
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Remove the display and leave the last counts as a line."""
        self._live.stop()
        if self._state.finished:
            self._console.print(Text(self._state.summary()), soft_wrap=True)

    def say(self, text: str) -> None:
        """A line above the display, kept."""
        self._console.print(Text(fmt.clean(text)), soft_wrap=True)

    def render(self) -> RenderableType:
        """The whole display."""
        state = self._state
        with state.lock:
            elapsed = Text(f"{fmt.duration(state.clock() - state.started)}  ", style="bold").append(
                state.summary(), style="not bold"
            )
            parts: list[RenderableType] = [elapsed]
            if state.running:
                parts.append(self._running())
            front = pareto_front(state.finished)
            if front:
                parts.append(_front(front, fmt.objective_title(state.objective)))
            return Group(*parts)

    def _running(self) -> Table:
        table = Table(box=None, padding=(0, 1), header_style="bold")
        for title, numeric in (
            ("Running", False),
            ("FLOPs", True),
            ("Epoch", True),
            ("Validation loss", False),
            ("Now", True),
            ("Images/s", True),
            ("For", True),
        ):
            table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
        for number, trial in list(self._state.running.items())[:MOST_RUNNING]:
            last = trial.history[-1] if trial.history else None
            losses = [record.validation.get("log_loss", record.train_loss) for record in trial.history]
            table.add_row(
                Text(fmt.clean(f"{number}: {trial.key}")),
                fmt.flops(trial.flops),
                str(last.epoch) if last else fmt.MISSING,
                Text(sparkline(losses), style="cyan"),
                fmt.number(losses[-1]) if losses else fmt.MISSING,
                f"{last.images_per_second:.0f}" if last and last.images_per_second else fmt.MISSING,
                fmt.duration(self._state.clock() - trial.started),
            )
        hidden = len(self._state.running) - MOST_RUNNING
        if hidden > 0:
            table.add_row(Text(f"and {hidden} more", style="dim"))
        return table


def _front(front: list[TrialRecord], objective: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for title, numeric in (
        ("Front so far", False),
        ("FLOPs", True),
        (objective, True),
        ("Balanced accuracy", True),
        ("Screen", False),
    ):
        table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
    for trial in front[:MOST_FRONT]:
        accuracy = fmt.find_metric(trial.metrics, "balanced_accuracy", "validation")
        table.add_row(
            Text(fmt.clean(f"{trial.number}: {trial.key}")),
            fmt.flops(trial.cost.flops),
            fmt.number(trial.quality),
            f"{fmt.metric_value(accuracy)} ({fmt.metric_interval(accuracy)})" if accuracy else fmt.MISSING,
            Text(fmt.verdict_text(trial.verdict), style=_VERDICTS.get(trial.verdict or "", "dim")),
        )
    return table
