"""Worker processes on this machine: started, listened to, watched for stalls, restarted when they die."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from nas.engine.context import TRIAL_THREADS
from nas.engine.process import GO, command, replay
from nas.engine.processes import devices
from nas.engine.progress import Progress
from nas.engine.settings import SearchSettings
from search_spaces.errors import InputError, ToolkitError

MAX_DEATHS = 6  # of workers in a row, without a trial that ended in between
_GRACE_SECONDS = 5.0
_OWN_END_SECONDS = 60.0  # a worker whose trial hangs ends itself first, and says so; one that is stopped or stuck cannot


@dataclass
class _Process:
    name: str
    slot: int
    popen: subprocess.Popen[str]
    log: Path
    last_event: float = field(default_factory=time.monotonic)
    listener: threading.Thread | None = None


class LocalPool:
    """Runs ``settings.workers`` worker processes until each has ended by itself.

    A process that dies (killed, out of host memory) is started again, until ``MAX_DEATHS`` in a row without a trial that ended
    in between; its trial is swept and retried by whichever worker asks next. One that sends no event for ``stall_minutes`` is
    killed and treated the same. On several GPUs each worker sees one of them, in turn.
    """

    def __init__(
        self, directory: Path, settings: SearchSettings, progress: Progress, *, storage: str | None, study: str
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._progress = progress
        self._storage = storage
        self._study = study
        self._events: queue.Queue[str] = queue.Queue()
        self._processes: list[_Process] = []
        self._started = 0
        self._deaths = 0
        self._waiting: list[_Process] = []
        self._environments: list[dict[str, str]] = []

    def get_ready(self) -> None:
        """Start the processes already: they load their libraries and wait for ``run``; ``close`` ends them if it never comes."""
        self._environments = worker_environments(self._settings)
        for slot in range(self._settings.workers):
            self._waiting.append(self._spawn(slot))

    def close(self) -> None:
        """End processes that wait, and leave no trace of them."""
        for process in self._waiting:
            with process.popen:  # waits, and closes its pipes
                process.popen.kill()
            process.log.unlink()
            if not any(process.log.parent.iterdir()):
                process.log.parent.rmdir()
        self._waiting.clear()

    def run(self, finished: Callable[[], bool], meanwhile: Callable[[], Callable[[], None]] | None = None) -> None:
        """Block until the workers are done.

        Args:
            finished: whether the search has what it wants (a process that dies afterwards needs no successor).
            meanwhile: done in a thread of its own, beside the workers; what it returns is then called in this one. What
                either raises stops the workers.

        Raises:
            KeyboardInterrupt: passed on after the workers have been stopped.
            ToolkitError: a worker ended with an error of its own, or workers keep dying.
        """
        try:
            if not self._waiting:
                self.get_ready()
            while self._waiting:
                self._set_off(self._waiting.pop(0))
            beside = _beside(meanwhile) if meanwhile else None
            while self._processes or beside:
                self._drain(timeout=0.2)
                self._check(finished)
                if beside and beside.done():
                    beside.result()()
                    beside = None
        finally:
            self.close()
            self._stop()

    def _spawn(self, slot: int) -> _Process:
        name = f"{os.getpid()}-{self._started}"
        self._started += 1
        log = self._directory / "log" / f"worker-{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as errors:
            popen = subprocess.Popen(
                command(self._directory, storage=self._storage, study=self._study, name=name),
                stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.PIPE, text=True, env=self._environments[slot],
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the workers in order
            )  # fmt: skip
        return _Process(name, slot, popen, log)

    def _set_off(self, process: _Process) -> None:
        assert process.popen.stdin is not None
        process.last_event = time.monotonic()
        self._processes.append(process)
        process.listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        process.listener.start()
        with contextlib.suppress(BrokenPipeError), process.popen.stdin as orders:  # one that has died is found to have
            orders.write(GO)

    def _listen(self, process: _Process) -> None:
        assert process.popen.stdout is not None
        with process.popen.stdout as lines:
            for line in lines:
                process.last_event = time.monotonic()
                if line.endswith("\n"):  # what a killed worker was writing is no event
                    self._events.put(line)

    def _drain(self, timeout: float) -> None:
        with contextlib.suppress(queue.Empty):
            line = self._events.get(timeout=timeout)
            while True:
                if replay(line, self._progress) == "trial_finished":
                    self._deaths = 0
                line = self._events.get_nowait()

    def _check(self, finished: Callable[[], bool]) -> None:
        for process in list(self._processes):
            code = process.popen.poll()
            if code is None:
                silent = time.monotonic() - process.last_event
                if silent > self._settings.stall_minutes * 60 + _OWN_END_SECONDS:
                    self._progress.message(
                        f"worker {process.name} made no progress for {silent / 60:.0f} minutes: killed, its trial is retried"
                    )
                    _kill(process.popen)
                continue
            self._processes.remove(process)
            if process.listener is not None:
                process.listener.join(timeout=_GRACE_SECONDS)  # its last events
            if code == 0 or finished():
                continue
            self._succeed(process, code)

    def _succeed(self, process: _Process, code: int) -> None:
        if code in (1, 2):  # the worker's own error: another one would end the same way
            said = _last_line(process.log) or f"worker {process.name} failed; see {process.log}"
            raise (InputError if code == 2 else ToolkitError)(said)
        self._deaths += 1
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        if self._deaths >= MAX_DEATHS:
            raise ToolkitError(
                f"workers died {self._deaths} times in a row, last by {cause}; see {process.log}, then resume with --resume"
            )
        self._progress.message(f"worker {process.name} died ({cause}); its trial is retried by another (log: {process.log})")
        self._set_off(self._spawn(process.slot))

    def _stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.popen.terminate()
        limit = time.monotonic() + _GRACE_SECONDS
        for process in self._processes:
            try:
                process.popen.wait(timeout=max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process.popen)
            if process.listener is not None:
                process.listener.join(timeout=_GRACE_SECONDS)
        self._processes.clear()
        self._drain(timeout=0.01)


def _beside(work: Callable[[], Callable[[], None]]) -> Future[Callable[[], None]]:
    """``work`` done in a thread that nobody waits for when this process is to end."""
    found: Future[Callable[[], None]] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # whatever it is: raised where the result is asked for
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found


def worker_environments(settings: SearchSettings) -> list[dict[str, str]]:
    """The environment of each worker process: few threads, and of several GPUs one."""
    # passive: idle threads sleep instead of spinning, so that workers do not steal cores from one another
    common = {"OMP_WAIT_POLICY": "passive", **os.environ, "OMP_NUM_THREADS": str(TRIAL_THREADS)}
    seen = devices(settings.device, settings.workers)
    return [common if own is None else {**common, "CUDA_VISIBLE_DEVICES": own} for own in seen]


def _kill(popen: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        popen.kill()
    popen.wait()


def _last_line(log: Path) -> str:
    return next((line for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()) if line.strip()), "")
