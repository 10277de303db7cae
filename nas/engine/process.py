"""A worker as a process of its own: ``python -m nas.engine.process``; events leave it as JSON lines on standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nas.engine.processes import end_with_parent
from nas.engine.progress import Progress
from nas.engine.settings import SearchSettings
from nas.records import Accounting, EpochRecord, TrialRecord
from search_spaces.errors import ToolkitError

if TYPE_CHECKING:
    from nas.engine.worker import Worker


class JsonLines:
    """Progress written as one JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def _send(self, event: str, **fields: Any) -> None:
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()

    def objective(self, name: str) -> None:
        """Nothing to send: whoever started this process knows."""

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """As ``Progress``."""
        self._send("trial_started", number=number, key=key, flops=flops)

    def epoch(self, number: int, record: EpochRecord) -> None:
        """As ``Progress``."""
        self._send("epoch", number=number, record=record.model_dump(mode="json"))

    def trial_finished(self, record: TrialRecord) -> None:
        """As ``Progress``."""
        self._send("trial_finished", record=record.model_dump(mode="json"))

    def accounting(self, counts: Accounting) -> None:
        """As ``Progress``."""
        self._send("accounting", counts=counts.model_dump(mode="json"))

    def message(self, text: str) -> None:
        """As ``Progress``."""
        self._send("message", text=text)


def replay(line: str, progress: Progress) -> str:
    """Hand one event line to a progress display; returns the event's name."""
    event = json.loads(line)
    name = str(event.pop("event"))
    match name:
        case "trial_started":
            progress.trial_started(**event)
        case "epoch":
            progress.epoch(event["number"], EpochRecord.model_validate(event["record"]))
        case "trial_finished":
            progress.trial_finished(TrialRecord.model_validate(event["record"]))
        case "accounting":
            progress.accounting(Accounting.model_validate(event["counts"]))
        case "message":
            progress.message(event["text"])
    return name


def command(directory: Path, *, storage: str | None, study: str, name: str) -> list[str]:
    """The command line that starts a worker process; it loads its libraries and then waits for ``GO``."""
    line = [sys.executable, "-m", "nas.engine.process", "--directory", str(directory), "--study", study, "--name", name]
    if storage is not None:
        line += ["--storage", storage]
    return [*line, "--parent", str(os.getpid())]


GO = "go\n"
"""The line on standard input that sets a waiting worker off."""


def open_worker(
    directory: Path,
    settings: SearchSettings,
    progress: Progress,
    *,
    storage: str | None,
    study: str,
    name: str,
    dedicated: bool = False,
) -> Worker:
    """A worker with its data and study opened, in this process; it takes over the study's number of threads.

    Args:
        dedicated: this process is the worker's own: it may wait for a server that is away, and end itself when it hangs.

    Raises:
        InputError: the study was made for other data or another version of the space.
    """
    import optuna
    import torch

    from nas.engine.context import TRIAL_THREADS, Context
    from nas.engine.directory import RunDirectory
    from nas.engine.patience import PATIENCE_SECONDS
    from nas.engine.pruning import make_pruner
    from nas.engine.sampling import build_sampler
    from nas.engine.storage import open_storage
    from nas.engine.study import open_study
    from nas.engine.worker import Worker

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(TRIAL_THREADS)
    context = Context.open(settings, RunDirectory(directory))
    opened = open_study(
        open_storage(storage, directory, workers=settings.workers, patience=PATIENCE_SECONDS if dedicated else 0.0),
        study,
        settings=settings,
        facts=context.facts,
        sampler=build_sampler(context),
        pruner=make_pruner(settings.epochs, settings.pruning),
    )
    torch.set_num_threads(opened.user_attrs["facts"]["threads"])
    return Worker(context, opened, progress, name=name, dedicated=dedicated)


def main() -> int:
    """Entry point of the process; errors of the toolkit end it with their one line on standard error and their exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--storage")
    parser.add_argument("--study", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    end_with_parent(options.parent)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log, the event stream stays clean
    from nas.engine.directory import RunDirectory

    for module in (
        "torch",
        "nas.engine.worker",
        "nas.generator.generator",
    ):  # most of a worker's start, whatever it is to search
        import_module(module)
    if not sys.stdin.readline():
        return 0  # the search that started this process has come to nothing
    try:
        settings = RunDirectory(options.directory).stored_settings()
        open_worker(
            options.directory,
            settings,
            JsonLines(events),
            storage=options.storage,
            study=options.study,
            name=options.name,
            dedicated=True,
        ).run()
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
