"""Pieces of work on this machine in processes of their own: few threads each, and of several GPUs one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from search_spaces.errors import ToolkitError

Task = TypeVar("Task", bound=tuple[Any, ...])


def in_processes(
    tasks: Sequence[Task],
    work: Callable[..., Any],
    done: Callable[[Task, Any, int], None],
    *,
    workers: int,
    device: str,
    opened: Callable[..., None],
    arguments: tuple[Any, ...] = (),
) -> None:
    """Do ``work(*task)`` for each task.

    Processes are loky's: unlike those of ``multiprocessing`` they do not run the calling script again, so that a script or a
    notebook needs no ``if __name__ == "__main__"``. They end with this process, however it ends.

    Args:
        done: called here for each task as it is done, with what its work returned and the number of tasks done.
        workers: processes; no more than tasks are started.
        device: ``"cpu"``, or any other: then each process sees one of the GPUs, in turn.
        opened: called once in each process, with ``arguments``.

    Raises:
        ToolkitError: a process died. What a task raises is raised here. The other processes are stopped first.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # comes with scikit-learn, which runs on it

    if not tasks:
        return
    workers = min(workers, len(tasks))
    with TemporaryDirectory() as slots:
        pool = ProcessPoolExecutor(
            workers,
            env={"OMP_WAIT_POLICY": "passive"},  # idle threads sleep, so that processes do not steal cores from one another
            initializer=_open,
            initargs=(os.getpid(), slots, devices(device, workers), opened, arguments),
        )
        try:
            futures = {pool.submit(work, *task): task for task in tasks}
            for count, future in enumerate(as_completed(futures), start=1):
                done(futures[future], future.result(), count)
        except BrokenProcessPool as error:
            raise ToolkitError(
                "a worker process died, most often for want of memory; what is finished is kept: go on with --resume and fewer --workers"
            ) from error
        finally:
            pool.shutdown(kill_workers=True)


def devices(device: str, workers: int) -> list[str | None]:
    """For each of several workers the GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None: it sees what this process sees."""
    if device == "cpu" or workers < 2:
        return [None] * workers
    import torch

    count = torch.cuda.device_count()
    if count < 2:
        return [None] * workers
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    visible = named[:count] if named else [str(index) for index in range(count)]
    return [visible[slot % len(visible)] for slot in range(workers)]


def end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone (``kill -9``): what resumes its work starts processes of its own."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _open(parent: int, slots: str, seen: list[str | None], opened: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: whoever started this process stops it
    own = seen[_take_slot(Path(slots), len(seen))]
    if own is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = own
    opened(*arguments)


def _take_slot(slots: Path, count: int) -> int:
    for slot in range(count):
        try:
            (slots / str(slot)).touch(exist_ok=False)
        except FileExistsError:
            continue
        return slot
    return 0
