"""The trials of a search: an engine to run them, a study that hands them out, and when no further one is started."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from nas.engine.directory import RunDirectory
from nas.engine.progress import Progress
from nas.engine.settings import SearchSettings
from nas.files import write_json
from search_spaces.errors import InputError

if TYPE_CHECKING:
    import optuna

    from nas.engine.context import Context
    from nas.engine.local import LocalPool


def check_engine(engine: str) -> None:
    """Raise ``InputError`` for an engine that is unknown or not installed."""
    if engine not in ("local", "here", "ray"):
        raise InputError(f"unknown engine {engine!r}; known: local, ray")
    if engine == "ray":
        from nas.engine.ray_engine import import_ray

        import_ray()


@contextmanager
def workers(
    settings: SearchSettings, directory: RunDirectory, storage: str | None, name: str, engine: str, progress: Progress
) -> Iterator[LocalPool | None]:
    """The worker processes of this machine; those of a new search load their libraries while its data is opened."""
    from nas.engine.local import LocalPool

    pool = LocalPool(directory.path, settings, progress, storage=storage, study=name) if engine == "local" else None
    try:
        if pool and not directory.settings.exists():
            pool.get_ready()
        yield pool
    finally:
        if pool:
            pool.close()


def deadlines(settings: SearchSettings, now: float) -> tuple[float | None, float | None]:
    """When the search and when its control start no further trial; a control needs as long as the search, so each gets half."""
    if settings.time is None:
        return None, None
    return now + (settings.time if settings.control == "none" else settings.time / 2), now + settings.time


def start(context: Context, storage: str | None, name: str) -> optuna.Study:
    """The study, opened; then the settings are written down: what was refused until here has left no search behind, and none changed."""
    import optuna

    from nas.engine.storage import open_storage, redact
    from nas.engine.study import open_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings, path = context.settings, context.directory.path
    kept = open_storage(storage, path, workers=settings.workers)
    if context.directory.settings.exists() and name not in optuna.get_all_study_names(kept):
        where = "the run's journal" if storage is None else redact(storage)
        raise InputError(
            f"{path} holds a search, but {where} no study {name!r} to go on with; give --storage and --study as it was started "
            f"(see {context.directory.commands})"
        )
    opened = open_study(kept, name, settings=settings, facts=context.facts)
    opened.set_user_attr("directory", str(path.absolute()))
    context.directory.unseal()
    write_json(context.directory.settings, settings.model_dump(mode="json"))
    return opened


def run_trials(
    context: Context,
    opened: optuna.Study,
    deadline: float | None,
    *,
    storage: str | None,
    engine: str,
    progress: Progress,
    pool: LocalPool | None = None,
) -> None:
    """Train until the study holds as many candidates as are wanted, or time is up: whoever has joined starts no trial after ``deadline``."""
    from nas.engine.local import LocalPool
    from nas.engine.process import open_worker
    from nas.engine.study import DEADLINE, Reporter, sweep, trained

    settings, path, name = context.settings, context.directory.path, opened.study_name
    opened.set_user_attr(DEADLINE, deadline)
    sweep(opened, patience=0.0)  # a trial that a killed worker had only asked for must not count when the next is proposed

    def finished() -> bool:
        return trained(opened.get_trials(deepcopy=False)) >= settings.trials

    describe = partial(_described, context, progress)
    if engine != "local" or finished():
        describe()()
    if not finished():
        if engine == "here":
            open_worker(path, settings, progress, storage=storage, study=name, name="here").run()
        elif engine == "local":
            pool = pool or LocalPool(path, settings, progress, storage=storage, study=name)
            pool.run(finished, meanwhile=describe)
        else:
            from nas.engine.ray_engine import run_on_ray

            run_on_ray(
                path,
                settings,
                progress,
                storage=storage,
                study=name,
                finished=finished,
                report=Reporter(opened, progress),
            )
    _await_others(opened, progress)


def _await_others(opened: optuna.Study, progress: Progress) -> None:
    """Until the trials have ended that workers who joined still run, so that the record of the search has them, too."""
    from optuna.trial import TrialState

    from nas.engine.study import Reporter, sweep

    report = Reporter(opened, progress)
    for turn in itertools.count():
        sweep(opened, patience=0.0)  # no trial is wanted any more: one that was only asked for is over
        report()
        running = opened.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return
        if turn == 0:
            progress.message(f"waiting for the trials that other workers still run ({len(running)})")
        time.sleep(1.0)


def _described(context: Context, progress: Progress) -> Callable[[], None]:
    """Describe the data, once; what is returned writes it down and says its warnings."""
    from nas.data import summarise

    if context.directory.data.exists():
        return lambda: None
    summary = summarise(context.dataset, context.parts)

    def publish() -> None:
        write_json(context.directory.data, summary.model_dump(mode="json"))
        for warning in summary.warnings:
            progress.message(warning)

    return publish
