"""Trials as Ray tasks, on this machine or on a cluster; the extra ``ray``.

Each task runs exactly one trial with the same worker as every other engine, so the same proposals in the same order give the same
results. A lost node kills its tasks: Ray starts them again elsewhere, and the trial that was running is swept and retried.
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.engine.context import TRIAL_THREADS
from nas.engine.progress import Progress
from nas.engine.settings import SearchSettings
from search_spaces.errors import InputError, ToolkitError, first_line

if TYPE_CHECKING:
    from nas.engine.worker import Worker

MAX_LOST_TASKS = 20
_GRACE_SECONDS = 5.0


def run_on_ray(
    directory: Path,
    settings: SearchSettings,
    progress: Progress,
    *,
    storage: str | None,
    study: str,
    finished: Callable[[], bool],
    report: Callable[[], None],
) -> None:
    """Keep ``settings.workers`` trials in flight on Ray until the search has what it wants.

    Connects to the cluster that ``RAY_ADDRESS`` names, else starts one on this machine. On several hosts the run directory must
    be shared and the storage a server: both are checked by the workers themselves. ``report`` is called after each task, to
    show what has ended.

    Raises:
        InputError: Ray is not installed, or ``RAY_ADDRESS`` names no cluster.
        ToolkitError: a task ended with an error of the toolkit, or tasks keep being lost.
    """
    ray = import_ray()
    mine = not ray.is_initialized()
    if mine:
        _start(ray)
    task = ray.remote(max_retries=3, **resources(ray.cluster_resources(), settings))(_one_trial)
    arguments = (str(directory.absolute()), settings.model_dump_json(), storage, study)
    flying: list[Any] = []
    lost, more = 0, True
    try:
        while not finished() and (more or flying):
            while more and len(flying) < settings.workers:
                flying.append(task.remote(*arguments))
            ready, flying = ray.wait(flying, timeout=1.0)
            for reference in ready:
                try:
                    done, messages = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise ToolkitError(f"a trial's task failed: {error.cause}") from error
                except ray.exceptions.RayError as error:
                    lost += 1
                    progress.message(f"a Ray task was lost ({type(error).__name__}); its trial is retried")
                    if lost > MAX_LOST_TASKS:
                        raise ToolkitError(
                            f"{lost} Ray tasks were lost; look at the cluster, then resume with --resume"
                        ) from error
                    continue
                for message in messages:
                    progress.message(message)
                report()
                more = more and done > 0  # one that ran none: time is up, or the space is used up
    finally:
        _stop(ray, flying)
        if mine:
            ray.shutdown()


def _start(ray: Any) -> None:
    """Ray's start replaces the handler of SIGTERM by one that prints a stack and aborts: ours is put back, and ends in order."""
    before = signal.getsignal(signal.SIGTERM)
    address = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False)
    except (ValueError, ConnectionError) as error:
        raise InputError(f"Ray cannot be started (RAY_ADDRESS: {address or 'not set'}): {first_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _stop(ray: Any, flying: list[Any]) -> None:
    """Interrupt the trials in flight: each is given back, which is no attempt; one that does not end soon is killed."""
    for reference in flying:
        ray.cancel(reference)
    _, stuck = ray.wait(flying, num_returns=len(flying), timeout=_GRACE_SECONDS) if flying else ([], [])
    for reference in stuck:
        ray.cancel(reference, force=True)


def resources(cluster: dict[str, float], settings: SearchSettings) -> dict[str, float]:
    """What one trial takes: its threads' cores, and a GPU, or an equal share where there are fewer GPUs than workers."""
    gpus = cluster.get("GPU", 0.0) if settings.device != "cpu" else 0.0
    return {"num_cpus": TRIAL_THREADS, "num_gpus": min(1.0, gpus / settings.workers)}


def import_ray() -> Any:
    """Ray, where it is installed; else ``InputError``."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray; pip install 'pepx-nas[ray]', or use --engine local") from error
    return ray


class _Kept:
    """Progress that keeps messages to hand back with the task's result; epochs stay where they happen."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def _one_trial(directory: str, settings: str, storage: str | None, study: str) -> tuple[int, list[str]]:
    """One trial in a Ray worker; returns the trials run (0: nothing was wanted) and what there is to say."""
    kept, worker = _open(directory, settings, storage, study)
    kept.messages.clear()
    return worker.run(at_most=1), list(kept.messages)


@lru_cache(maxsize=1)
def _open(directory: str, settings: str, storage: str | None, study: str) -> tuple[_Kept, Worker]:
    """A worker, opened once in each of Ray's processes: its data and what its sampler has read serve all of its trials."""
    from nas.engine.process import open_worker

    kept = _Kept()
    progress: Any = kept
    worker = open_worker(
        Path(directory), SearchSettings.model_validate_json(settings), progress, storage=storage, study=study,
        name=f"ray-{uuid.uuid4().hex[:8]}", dedicated=True,
    )  # fmt: skip
    return kept, worker
