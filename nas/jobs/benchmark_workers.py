"""Trainings of a benchmark in several processes on this machine: each writes its fold's directory, nothing else is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.engine.processes import in_processes
from nas.jobs.benchmark_settings import BenchmarkSettings
from nas.jobs.benchmark_training import rates_to_try

if TYPE_CHECKING:
    from nas.data.dataset import Dataset
    from nas.jobs.benchmark_arena import Arena


@dataclass
class _Worker:
    """What a process holds for all its trainings."""

    arena: Arena | None = None


_worker = _Worker()


def train_in_processes(arena: Arena, progress: Any) -> None:
    """Train what is not trained yet; a fold that fails here is tried once more by the caller, which keeps its reason.

    A model that fails on the first fold is not trained on the others.

    Raises:
        ToolkitError: a process died.
    """

    def done(entrant: int, fold: int) -> bool:
        return (arena.home(arena.entrants[entrant]) / arena.folds[fold].name / "fold.json").exists()

    everyone = range(len(arena.entrants))
    first = [(e, 0) for e in everyone if not done(e, 0)]  # these pick the learning rates that the others need
    _train_some(arena, [(e, f, rate) for e, f in first for rate in rates_to_try(arena, arena.entrants[e])], progress)
    _train_some(arena, first, progress)
    others = [(e, f) for f in range(1, len(arena.folds)) for e in everyone if done(e, 0) and not done(e, f)]
    shared = arena.settings.pretraining_kind == "shared"
    starts = [(e, f) for e, f in others if shared and not arena.folds[f].number]  # these pretrain the weights of their seed
    _train_some(arena, starts, progress)
    _train_some(arena, [task for task in others if task not in starts], progress)


def _train_some(arena: Arena, tasks: Sequence[tuple[int, int] | tuple[int, int, float]], progress: Any) -> None:
    def done(task: tuple[Any, ...], reason: str, count: int) -> None:
        entrant, fold, *rate = task
        outcome = f"failed: {reason}" if reason else "done"
        name = f"{arena.entrants[entrant].name}, {arena.folds[fold].name}{''.join(f', rate {r:g}' for r in rate)}"
        progress.message(f"{name}: {outcome} ({count} of {len(tasks)})")

    settings = arena.settings
    in_processes(
        tasks, _train, done, workers=settings.workers, device=settings.device, opened=_open,
        arguments=(settings, arena.directory, arena.dataset),
    )  # fmt: skip


def _open(settings: BenchmarkSettings, directory: Path, dataset: Dataset) -> None:
    import torch

    from nas.engine.context import threads_per_worker
    from nas.jobs.benchmark_arena import Arena

    torch.set_num_threads(threads_per_worker(settings.workers))
    _worker.arena = Arena.open(settings, directory, dataset)


def _train(entrant: int, fold: int, rate: float | None = None) -> str:
    from nas.engine.progress import Silent
    from nas.jobs.benchmark_training import train_fold, try_rate

    arena = _worker.arena
    assert arena is not None
    if rate is not None:
        return try_rate(arena, arena.entrants[entrant], arena.folds[fold], rate)
    return train_fold(arena, arena.entrants[entrant], arena.folds[fold], Silent()).failed
