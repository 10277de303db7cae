"""Run a search: from data to a front of small networks, each retrained and audited.

Reads like the method section: data and their split → architectures inside the budget → trials → the front's best, retrained
with several seeds at full fidelity → the audit of each → best, winner, what was not met.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.engine.directory import RunDirectory, read_search, remove_litter
from nas.engine.progress import Progress, Silent
from nas.engine.settings import SearchSettings, parse_settings, preset, refuse_other_settings
from nas.files import read_json, texts, write_json
from nas.jobs.listing import prototype
from nas.jobs.search_trials import check_engine, deadlines, run_trials, start, workers
from nas.records import Comparison, SearchRecord
from nas.versions import toolkit_version, versions
from search_spaces.budget import shown
from search_spaces.errors import InputError, ToolkitError

if TYPE_CHECKING:
    import optuna

    from nas.engine.context import Context


def search(
    data: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    storage: str | None = None,
    study: str = "search",
    engine: str = "local",
    progress: Progress | None = None,
    command: str = "",
    **settings: Any,
) -> SearchRecord:
    """Search for a network and return the record of the search.

    Args:
        data: one or several data specs; none: the phantom preset.
        out: the run directory; none: ``runs/search-DATE-TIME``.
        resume: go on with the search in ``out``; settings that are given must agree with the stored ones.
        storage: an Optuna storage URL; none: a journal file in the run directory.
        engine: ``"local"`` runs worker processes on this machine, ``"here"`` runs the trials in this process.
        settings: fields of ``SearchSettings``; the prototype also by the name of a published design, or its .json file.

    Raises:
        InputError: a bad setting, bad data, an impossible budget, or other settings than the search was started with.
        ToolkitError: every trial failed, or the workers keep dying.
    """
    check_engine(engine)
    if resume and out is None:
        raise InputError("--resume goes on with the search in a run directory; name it with --out")
    watching = progress or Silent()
    if data is not None:
        if hasattr(data, "images"):
            raise InputError("a search loads its data from disk, in every worker; give it specs, not a data set in memory")
        settings["data"] = texts(data)
    if isinstance(settings.get("prototype"), str):
        settings["prototype"] = prototype(settings["prototype"], settings.get("space"), settings.get("imports", ()))
    directory = RunDirectory(Path(out) if out is not None else _fresh_directory())
    with directory.owned():
        chosen = _settle(directory, settings, resume)
        started = time.time()
        watching.message(f"run directory: {directory.path}")
        watching.objective(chosen.objective)
        with workers(chosen, directory, storage, study, engine, watching) as pool:
            context = _open(chosen, directory)
            for note in _beyond_budget(context):
                watching.message(note)
            opened = start(context, storage, study)
            commands = directory.remember(command)
            ends = deadlines(chosen, time.time())
            run_trials(context, opened, ends[0], storage=storage, engine=engine, progress=watching, pool=pool)
        control = _control(context, opened, ends[1], storage=storage, engine=engine, progress=watching)
        processes = chosen.workers if engine == "local" else 1
        record = _conclude(context, opened, control, processes, progress=watching, commands=commands, started=started)
        return _publish(directory, record)


def _fresh_directory() -> Path:
    return Path("runs") / datetime.datetime.now().strftime("search-%Y%m%d-%H%M%S")


def _settle(directory: RunDirectory, asked: dict[str, Any], resume: bool) -> SearchSettings:
    """The settings of a new search, or the stored ones of a resumed search."""
    if not directory.settings.exists():
        if resume:
            raise InputError(f"there is no search to resume in {directory.path}; leave --resume out to start one there")
        for left in (directory.parts, directory.data, directory.commands):  # by a search that was killed before it had begun
            left.unlink(missing_ok=True)
        chosen = parse_settings({**preset(asked), **asked})
        return chosen.model_copy(update={"prune": chosen.pruning})  # settled once: a resumed search may ask for more trials
    if not resume:
        raise InputError(f"{directory.path} holds a search already; go on with it by --resume, or choose another --out")
    stored = directory.stored_settings()
    refuse_other_settings(stored, asked)
    return parse_settings({**stored.model_dump(mode="json"), **asked})


def _open(settings: SearchSettings, directory: RunDirectory) -> Context:
    from nas.engine.context import Context
    from nas.engine.sampling import build_sampler

    context = Context.open(settings, directory)
    _ = (context.budget, context.requirements, context.prototype, context.pretrained)  # bad ones raise here
    if settings.device == "cuda":  # else it need not be known here, and to ask means to load torch
        _ = context.device
    build_sampler(context)
    return context


def _beyond_budget(context: Context) -> list[str]:
    """What a prototype comes to that the budget does not admit: nobody else would hear of it."""
    if context.prototype is None:
        return []
    cost, budget = context.space.cost(context.prototype, context.settings.image_size), context.budget
    broken = [name.removeprefix("min_") for name in budget.violations(cost)]
    figures = ", ".join(f"{name} {shown(getattr(cost, name))}" for name in broken)
    admitted = f"the budget ({budget}) does not admit the prototype ({figures})"
    return [f"{admitted}: it is not trained itself, the generator only prefers its choices"] if broken else []


def _control(
    context: Context, study: optuna.Study, deadline: float | None, *, storage: str | None, engine: str, progress: Progress
) -> tuple[Comparison, ...]:
    """With ``control="random"``: the same number of candidates by random search beside it, and the paired difference."""
    from nas.engine.study import trial_records
    from nas.jobs.control import ControlProgress, random_control, trained

    trials = trained(trial_records(study))
    if context.settings.control == "none" or all(t.quality is None for t in trials):
        return ()
    progress.message(f"control: {len(trials)} candidates by random search")
    told = ControlProgress(progress, len(trials))

    def run(beside: Context) -> optuna.Study:
        opened = start(beside, storage, f"{study.study_name}-control")
        run_trials(beside, opened, deadline, storage=storage, engine=engine, progress=told)
        return opened

    return (random_control(context, trials, run),)


def _conclude(
    context: Context,
    study: optuna.Study,
    comparisons: tuple[Comparison, ...],
    processes: int,
    *,
    progress: Progress,
    commands: Sequence[str],
    started: float,
) -> SearchRecord:
    from nas.data import trivial_control
    from nas.engine.openings import opening_notice, record_opening
    from nas.engine.study import account, trial_records
    from nas.jobs.finalists import choose, conclude_front

    settings, directory = context.settings, context.directory
    trials, counts = trial_records(study), account(study.get_trials(deepcopy=False))
    completed = [t for t in trials if t.outcome == "completed"]
    if not completed:
        reasons = sorted({t.reason for t in trials if t.outcome == "failed"})
        raise ToolkitError(
            f"no trial completed ({'; '.join(reasons) or 'none was started in the time given'}); mend that, then --resume"
        )
    generator = _generator_log(context, study)
    finalists = choose(completed, context.requirements, settings.finalists)
    looked_at = ", ".join(sorted(trial.key for trial in finalists))
    openings = record_opening(directory.path, f"the search's finalists {looked_at} and controls")
    if notice := opening_notice(openings):
        progress.message(notice)
    front = conclude_front(context, finalists, progress, processes)
    best = front[0]
    winner = next((c for c in front if not c.unmet), None)
    return SearchRecord(
        toolkit=toolkit_version(),
        versions=versions(),
        command=commands[0],
        created=datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        seed=settings.seed,
        sampler=settings.sampler,
        space=context.space.name,
        space_version=context.space.version,
        budget=context.budget.to_json(),
        settings=settings.model_dump(mode="json"),
        data=read_json(directory.data),
        accounting=counts,
        trials=trials,
        front=front,
        best=best,
        winner=winner,
        unmet=() if winner else best.unmet,
        controls=trivial_control(context.dataset, context.parts.train, context.parts.test),
        comparisons=comparisons,
        test_openings=openings,
        generator=generator,
        notes=(*_beyond_budget(context), *(f"gone on with by: {later}" for later in commands[1:] if later)),
        directory=str(directory.path),
    )


def _generator_log(context: Context, study: optuna.Study) -> dict[str, Any]:
    """Save what the generator has learnt with the run, and return its log: why it moved."""
    from nas.engine.sampling import build_sampler
    from nas.generator import GeneratorSampler

    sampler = build_sampler(context)
    if not isinstance(sampler, GeneratorSampler):
        return {}
    sampler.learn(study)
    write_json(context.directory.generator, sampler.state())
    return {"updates": sampler.log}


def _publish(directory: RunDirectory, record: SearchRecord) -> SearchRecord:
    from nas.report import PAGE_NAME, write_page
    from nas.report.card import write_card
    from nas.report.tables import write_tables

    record = record.model_copy(update={"page": str(directory.path / PAGE_NAME)})
    for candidate in record.front:
        remove_litter(directory.candidate(candidate.key))  # its card is written after it was sealed
    write_page(record, directory.path)
    write_tables(record, directory.path)
    for candidate in record.front:
        write_card(record, candidate, directory.candidate(candidate.key) / "card")
    write_json(directory.record, record.model_dump(mode="json"))
    directory.seal()
    return record


def candidate_home(path: Path) -> Path:
    """A candidate's directory: ``path`` itself, or where a run's winner, else its best, lies."""
    if not RunDirectory(path).settings.exists():
        return path
    record = read_search(path)
    chosen = record.winner or record.best
    if chosen is None:
        raise InputError(f"{path} has no candidate; finish the search with: nas search --resume --out {path}")
    return Path(chosen.path)
