"""Benchmark: candidates and published systems, met on equal terms.

Reads like the method section: data and their parts → folds by group inside the non-test part → every model trained on every
fold with the same recipe (or each with its paper's) → each training predicts its held-out fold and the sealed test → scores
with intervals that respect groups → paired tests → cost, audit, sources, controls → the survey's tables and questions.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.engine.directory import RunDirectory, run_of, seal
from nas.engine.openings import opening_notice
from nas.engine.progress import Silent
from nas.engine.settings import SearchSettings
from nas.files import WriteError, read_json, texts
from nas.jobs.benchmark_arena import Arena, openings
from nas.jobs.benchmark_comparison import Contestant, compare, strongest
from nas.jobs.benchmark_entrants import Entrant, baselines_asked
from nas.jobs.benchmark_rows import audited, failed_row, row, test_sheet
from nas.jobs.benchmark_settings import BenchmarkSettings, settle, store
from nas.records import BenchmarkRecord, BenchmarkRow, Comparison
from nas.versions import toolkit_version, versions
from search_spaces.errors import ToolkitError, first_line

if TYPE_CHECKING:
    from nas.data.dataset import Dataset
    from nas.jobs.benchmark_scores import Sheet
    from nas.jobs.benchmark_sources import LeftOut
    from nas.jobs.benchmark_training import FoldResult


def benchmark(
    models: str | Path | Sequence[str | Path] = (),
    data: Dataset | str | Path | Sequence[str | Path] | None = None,
    *,
    baselines: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Any = None,
    command: str = "",
    **settings: Any,
) -> BenchmarkRecord:
    """Train and score everyone alike, and return the record.

    Args:
        models: run directories (all their finalists compete) or candidates' directories; they are trained anew.
        data: specs, or a loaded data set; none: the images of the run that competes, else the phantom.
        baselines: ``"all"`` (the default), ``"vgg19,resnet50"``, a list of names, or ``"none"``.
        out: the benchmark's directory; none: ``runs/benchmark-DATE-TIME``.
        resume: go on with the benchmark in ``out``; settings that are given must agree with the stored ones.
        progress: told what happens, by its ``message(text)``.
        settings: fields of ``BenchmarkSettings``: folds, seeds, epochs, image_size, recipe, pretraining, audit, survey, …

    Raises:
        InputError: a bad setting, bad data, a leak, or other settings than the benchmark was started with.
        ToolkitError: no model could be trained.
    """
    from nas.engine.context import import_plugins, import_plugins_of

    watching = progress or Silent()
    import_plugins(texts(settings.get("imports", ())))  # first: the baselines that are asked for may be theirs
    known = [models] if isinstance(models, str | Path) else list(models)
    for path in (*known, out) if resume and out is not None else known:
        import_plugins_of(Path(path))
    asked = _asked(models, data, baselines, settings, resume)
    directory = Path(out) if out is not None else Path("runs") / datetime.datetime.now().strftime("benchmark-%Y%m%d-%H%M%S")
    with RunDirectory(directory).owned():
        chosen = settle(directory, asked, resume)
        RunDirectory(directory).unseal()
        started = time.time()
        watching.message(f"benchmark directory: {directory}")
        arena = Arena.open(chosen, directory, _dataset(data))
        store(directory, chosen)
        command = RunDirectory(directory).remember(command)[0]  # that it was started with
        for note in arena.notes:
            watching.message(note)
        trained = _train_all(arena, watching)
        record = _score(arena, trained, watching, command, started)
        return _publish(record, directory)


def _dataset(data: Any) -> Dataset | None:
    return data if hasattr(data, "asked") else None


def _asked(models: Any, data: Any, baselines: Any, settings: dict[str, Any], resume: bool) -> dict[str, Any]:
    """The settings that were given, the run's own data and image size filled in."""
    asked = dict(settings)
    paths = [models] if isinstance(models, str | Path) else list(models)
    if paths:
        asked["models"] = tuple(str(path) for path in paths)
    if baselines is not None or not resume:
        asked["baselines"] = baselines_asked("all" if baselines is None else baselines)
    if data is not None:
        given = _dataset(data)
        asked["data"] = list(given.asked) if given is not None else list(texts(data))
        if given is not None:
            asked.setdefault("image_size", given.image_size)
    for path in [] if resume else paths:
        _fill_from_run(asked, Path(path))
    return asked


def _fill_from_run(asked: dict[str, Any], path: Path) -> None:
    """What the search was run on, where the caller says nothing else."""
    run = run_of(path)
    if run is None:
        return
    stored = read_json(run / "settings.json")
    for key in ("data", "classes", "data_root", "image_size", "crop", "splits"):
        if stored.get(key) is not None:
            asked.setdefault(key, stored[key])
    asked["imports"] = tuple(dict.fromkeys((*texts(asked.get("imports", ())), *stored.get("imports", ()))))
    if asked.get("recipe") != "paper":  # as long as the search trained its finalists
        asked.setdefault("epochs", SearchSettings.model_validate(stored).full_epochs)


def _train_all(arena: Arena, progress: Any) -> dict[str, list[FoldResult]]:
    """Every model on every fold; a model that fails on one fold is not trained on the next."""
    from nas.jobs.benchmark_training import train_fold
    from nas.jobs.benchmark_workers import train_in_processes

    if arena.settings.workers > 1:
        train_in_processes(arena, progress)
    trained: dict[str, list[FoldResult]] = {}
    for entrant in arena.entrants:
        results: list[FoldResult] = []
        for fold in arena.folds:
            results.append(train_fold(arena, entrant, fold, progress))
            if results[-1].failed:
                break
        trained[entrant.name] = results
    return trained


def _score(arena: Arena, trained: dict[str, list[FoldResult]], progress: Any, command: str, started: float) -> BenchmarkRecord:
    """Open the sealed test, make the rows, compare, answer the survey."""
    from nas.data import summarise
    from nas.jobs.benchmark_controls import control_rows
    from nas.jobs.benchmark_sources import left_out_folds
    from nas.report.survey import PAIRS, survey

    settings = arena.settings
    who = ", ".join(entrant.name for entrant in arena.entrants)  # a run that went on sends others
    benchmark = f"the benchmark {arena.directory.name}, {RunDirectory(arena.directory).identity()}"
    opened = openings(arena, f"test scores of {who} in {benchmark}")
    if notice := opening_notice(opened):
        progress.message(notice)
    sheet, plans = test_sheet(arena), left_out_folds(arena) if settings.leave_one_source_out else ()
    rows, contestants = [], []
    for entrant in arena.entrants:
        found, contestant = _row(arena, entrant, trained[entrant.name], sheet, plans, progress)
        rows.append(found)
        contestants += [contestant] if contestant else []
    if not contestants:
        raise ToolkitError(f"no model could be trained: {'; '.join(f'{r.name}: {r.failed}' for r in rows)}")
    comparisons = compare(contestants, folds=settings.folds, margin=settings.margin, asked=PAIRS if settings.survey else ())
    record = BenchmarkRecord(
        toolkit=toolkit_version(),
        versions=versions(),
        command=command,
        created=datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        seed=settings.seed,
        settings=settings.model_dump(mode="json"),
        data=summarise(arena.masked, arena.parts),
        classes=arena.dataset.classes,
        rows=(*rows, *control_rows(arena)),
        comparisons=comparisons,
        test_openings=opened,
        notes=(*arena.notes, *_machines(trained), *_notes(contestants, comparisons, settings)),
        device=_device_name(arena.device),
        directory=str(arena.directory),
    )
    return record.model_copy(update={"survey": survey(record)}) if settings.survey else record


def _row(
    arena: Arena,
    entrant: Entrant,
    results: list[FoldResult],
    sheet: Sheet,
    plans: Sequence[LeftOut],
    progress: Any,
) -> tuple[BenchmarkRow, Contestant | None]:
    """One model's row; whatever goes wrong with it stays in its row."""
    from nas.jobs.benchmark_costs import expense
    from nas.jobs.benchmark_files import write_predictions
    from nas.jobs.benchmark_sources import left_out_metrics

    if results[-1].failed:
        return failed_row(entrant, arena.settings, results[-1].failed), None
    progress.message(f"{entrant.name}: scoring")
    try:
        spent = expense(entrant, arena.settings.image_size, arena.device)
        finding = audited(arena, entrant, results[0], progress)
        left_out = left_out_metrics(arena, entrant, plans, progress)
        write_predictions(arena, entrant, results)
        return row(arena, entrant, results, sheet, spent, finding, left_out)
    except WriteError:  # the disk's fault, no model's
        raise
    except Exception as error:  # anyone's code, as in training
        return failed_row(entrant, arena.settings, f"scoring: {first_line(error)}"), None


def _notes(
    contestants: Sequence[Contestant], comparisons: Sequence[Comparison], settings: BenchmarkSettings
) -> tuple[str, ...]:
    """What a reader should know first: protocol, strongest baseline, and the candidate against it."""
    found = [
        f"{settings.folds} folds by group × {settings.seeds} seeds inside the non-test part; every training predicts the same sealed "
        "test; figures are means over the trainings, scores of different trainings are never pooled",
        f"non-inferiority margin {settings.margin:g}; p-values adjusted by Holm over all comparisons",
    ]
    baselines = [one for one in contestants if one.kind == "baseline" and not one.leaks]
    candidates = [one for one in contestants if one.kind == "candidate"]
    if not baselines:
        return tuple(found)
    best = strongest(baselines)
    found.append(f"strongest baseline out of fold: {best.name}")
    for candidate in candidates:
        for one in comparisons:
            on_test = one.first == candidate.name and one.second == best.name and one.note.startswith("sealed test")
            if on_test and one.metric == "balanced_accuracy" and one.interval is not None and one.difference is not None:
                ends = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}"
                found.append(
                    f"{candidate.name} − {best.name}: {one.difference:+.3f} ({ends}) balanced accuracy, {one.conclusion}"
                )
    return tuple(found)


def _machines(trained: dict[str, list[FoldResult]]) -> tuple[str, ...]:
    """A note where the models were not all trained on one kind of device and in one precision."""
    by_machine: dict[str, list[str]] = {}
    for name, results in trained.items():
        for machine in sorted({result.machine for result in results if not result.failed}):
            by_machine.setdefault(machine or "an unknown device", []).append(name)
    if len(by_machine) < 2:
        return ()
    return ("not all were trained alike: " + "; ".join(f"on {where}: {', '.join(who)}" for where, who in by_machine.items()),)


def _device_name(device: str) -> str:
    import platform

    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def _publish(record: BenchmarkRecord, directory: Path) -> BenchmarkRecord:
    """Write page, record and tables."""
    from nas.jobs.benchmark_files import write_record
    from nas.report import write_page

    record = record.model_copy(update={"page": str(write_page(record, directory))})
    write_record(record, directory)
    seal(directory)
    return record
