"""What a person sees while a search runs: a live display on a terminal, plain lines in a log, or nothing.

All receive the same few events (``nas.engine.progress.Progress``) and write to standard error, so that ``--json`` keeps
standard output to itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from nas.engine.progress import Progress, Silent
from nas.records import Accounting, EpochRecord, TrialRecord
from nas.report import formatting as fmt
from nas.report.dashboard import Dashboard, State
from search_spaces.errors import InputError

EPOCH_LINES_EVERY = 30.0  # seconds between a log's lines on the epochs of one trial


@contextmanager
def make_progress(
    *,
    quiet: bool = False,
    trials: int | None = None,
    plain: bool = False,
    log: Path | None = None,
    console: Console | None = None,
) -> Iterator[Progress]:
    """The progress display that fits where standard error leads; on leaving, the terminal is as it was.

    Args:
        quiet: show nothing.
        trials: how many trials are wanted, for the share done and the time that remains.
        plain: lines even on a terminal.
        log: also append lines to this file.
        console: in place of standard error.

    Raises:
        InputError: the log cannot be written.
    """
    err = console or Console(stderr=True, highlight=False, markup=False)
    with ExitStack() as stack:
        shown: list[Progress] = []
        if log is not None:
            shown.append(Lines(stack.enter_context(_appended(log)), trials))
        if not quiet:
            live = err.is_terminal and not plain
            shown.append(stack.enter_context(Live(err, trials)) if live else Lines(err.file, trials))
        yield shown[0] if len(shown) == 1 else Several(shown) if shown else Silent()


def _appended(log: Path) -> IO[str]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write to --log {log}: {error.strerror or error}; name a file that can be written") from error


class Several:
    """One event, told to several."""

    def __init__(self, receivers: list[Progress]) -> None:
        self._receivers = receivers

    def objective(self, name: str) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.objective(name)

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.trial_started(number, key, flops)

    def epoch(self, number: int, record: EpochRecord) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.epoch(number, record)

    def trial_finished(self, record: TrialRecord) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.trial_finished(record)

    def accounting(self, counts: Accounting) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.accounting(counts)

    def message(self, text: str) -> None:
        """As ``Progress``."""
        for one in self._receivers:
            one.message(text)


class Lines:
    """One line an event with the time of day, for logs and batch systems; an epoch's line at most every half minute a trial."""

    def __init__(self, file: IO[str] | None = None, trials: int | None = None) -> None:
        self._file = file or sys.stderr
        self._state = State(trials)
        self._spoken: dict[int, float] = {}
        self._ended = False

    def objective(self, name: str) -> None:
        """As ``Progress``."""
        self._state.objective = name

    def _write(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {fmt.clean(text)}", file=self._file, flush=True)

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """As ``Progress``."""
        self._state.trial_started(number, key, flops)
        self._spoken[number] = time.monotonic()
        self._write(f"trial {number} starts: {key}, {fmt.flops(flops)}")

    def epoch(self, number: int, record: EpochRecord) -> None:
        """As ``Progress``."""
        self._state.epoch(number, record)
        now = time.monotonic()
        if now - self._spoken.get(number, now) >= EPOCH_LINES_EVERY:
            self._spoken[number] = now
            self._write(f"trial {number} epoch {record.epoch}: {epoch_text(record)}")

    def trial_finished(self, record: TrialRecord) -> None:
        """As ``Progress``."""
        self._state.trial_finished(record)
        self._spoken.pop(record.number, None)
        self._write(trial_text(record, self._state.objective))
        self._ended = True

    def accounting(self, counts: Accounting) -> None:
        """As ``Progress``."""
        self._state.accounting(counts)
        if self._ended:  # once after each trial: counts come far more often
            self._ended = False
            self._write(self._state.summary())

    def message(self, text: str) -> None:
        """As ``Progress``."""
        self._write(text)


class Live:
    """The live display of a terminal; messages scroll past above it. A context manager."""

    def __init__(self, console: Console, trials: int | None = None) -> None:
        self._state = State(trials)
        self._display = Dashboard(self._state, console)

    def __enter__(self) -> Live:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def objective(self, name: str) -> None:
        """As ``Progress``."""
        self._state.objective = name

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """As ``Progress``."""
        self._state.trial_started(number, key, flops)

    def epoch(self, number: int, record: EpochRecord) -> None:
        """As ``Progress``."""
        self._state.epoch(number, record)

    def trial_finished(self, record: TrialRecord) -> None:
        """As ``Progress``."""
        self._state.trial_finished(record)
        if record.outcome == "failed":
            self._display.say(trial_text(record, self._state.objective))

    def accounting(self, counts: Accounting) -> None:
        """As ``Progress``."""
        self._state.accounting(counts)

    def message(self, text: str) -> None:
        """As ``Progress``."""
        self._display.say(text)


def epoch_text(record: EpochRecord) -> str:
    """An epoch's figures on one line."""
    figures = [f"training loss {fmt.number(record.train_loss)}"]
    figures += [f"{fmt.metric_title(name).lower()} {fmt.number(value)}" for name, value in record.validation.items()]
    if record.images_per_second:
        figures.append(f"{record.images_per_second:.0f} images/s")
    return ", ".join(figures)


def trial_text(record: TrialRecord, objective: str) -> str:
    """How a trial ended, on one line."""
    accuracy = fmt.find_metric(record.metrics, "balanced_accuracy", "validation")
    parts = [f"trial {record.number} {record.outcome}: {record.key}, {fmt.flops(record.cost.flops)}"]
    if record.quality is not None:
        parts.append(f"{fmt.objective_name(objective)} {fmt.number(record.quality)}")
    if accuracy is not None:
        parts.append(f"balanced accuracy {fmt.metric_value(accuracy)} ({fmt.metric_interval(accuracy)})")
    if record.verdict:
        parts.append(f"screen {record.verdict}")
    if record.reason:
        parts.append(record.reason)
    return ", ".join(parts)
