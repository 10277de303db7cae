"""Two hosts search together through PostgreSQL: a worker joins, leaves, comes back, and the server crashes in the middle.

    python -m tests.two_hosts [--trials 40] [--for-good] [--record FILE]

Each host is a process with a home, a cache and (as root) a host name of its own, and sees the run directory under a path of its
own. With ``--for-good`` the second host is killed at the end in the middle of a trial and stays away: the first one waits until it
has been silent for three minutes, then takes its trial over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tests.chaos import MORE, TINY, Outcome, _check, _study, command, keep
from tests.postgres import Server, postgres

PATIENCE = 600.0


class Host:
    """A machine, as far as one machine can play it."""

    def __init__(self, root: Path, name: str, run: Path) -> None:
        self.name, self.home = name, root / name
        self.home.mkdir()
        self.run = self.home / "run"
        self.run.symlink_to(run)
        self.named = os.getuid() == 0 and shutil.which("unshare") is not None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """``nas ARGUMENTS`` on this host."""
        line = [sys.executable, "-c", "from nas.cli import main; main()", *arguments]
        if self.named:
            line = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh", *line]
        environment = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache"), "OMP_NUM_THREADS": "1"}
        log = (self.home / "log").open("ab")
        return subprocess.Popen(line, env=environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True)


class Search:
    """The search on the first host: where it ends before the story does, it is told to want more trials, and resumed."""

    def __init__(self, host: Host, config: Path, trials: int, storage: tuple[str, ...]) -> None:
        self.host, self.trials, self.storage = host, trials, storage
        self.resumes = 0
        self._start(str(config))

    def _start(self, what: str) -> None:
        where = ("--out", str(self.host.run), "--trials", str(self.trials), "--quiet")
        self.process = self.host.start("search", what, *where, *self.storage)

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        """Block until it holds; ``TimeoutError`` after some minutes."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > limit or self.process.poll() not in (None, 0):
                raise TimeoutError(f"{what}; the search: {(self.host.home / 'log').read_text()[-2000:]}")
            if self.process.poll() == 0:
                self.trials, self.resumes = self.trials + MORE, self.resumes + 1
                self._start("--resume")
            time.sleep(0.5)


def play(root: Path, server: Server, trials: int, for_good: bool) -> dict[str, Any]:
    """The whole story; returns what there is to record."""
    run = root / "shared"
    run.mkdir()
    (root / "tiny.toml").write_text(TINY)
    first, second = Host(root, "host-a", run), Host(root, "host-b", run)
    storage = ("--storage", server.url, "--study", "search")
    search = Search(first, root / "tiny.toml", trials, storage)
    worker: subprocess.Popen[bytes] | None = None
    search.wait_for("the study", (run / "identity.json").exists)
    study = _study(run, server.url)
    assert study is not None

    def complete(host: Host | None = None) -> int:
        found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return sum(host is None or not host.named or _worker_of(t) == host.name for t in found)

    def join() -> subprocess.Popen[bytes]:
        return second.start("worker", *storage, "--out", str(second.run))

    def another(host: Host | None = None) -> Callable[[], bool]:
        """A condition: one more trial is complete; a second host whose worker has ended, since no trial was wanted, joins again."""
        before = complete(host)

        def met() -> bool:
            nonlocal worker
            if host is second and (worker is None or worker.poll() == 0):
                worker = join()
            return complete(host) > before

        return met

    search.wait_for("the first host to complete a trial", another(first))
    search.wait_for("the second host, joined, to complete a trial", another(second))
    assert worker is not None
    os.killpg(worker.pid, signal.SIGTERM)  # leaves
    worker.wait()
    search.wait_for("the first host to go on alone", another())
    worker = None
    search.wait_for("the second host, back, to complete a trial", another(second))
    assert worker is not None
    server.stop("immediate")
    time.sleep(5.0)
    server.start()
    search.wait_for("the search to go on after the restart", another())
    if for_good:
        search.wait_for("the second host to run a trial", lambda: _runs(study, second))
        os.killpg(worker.pid, signal.SIGKILL)
    code = search.process.wait(timeout=PATIENCE)
    worker_code = worker.wait(timeout=60.0)
    outcome = Outcome(trials=search.trials)
    if code != 0:
        outcome.problems.append(f"the search ended with code {code}: {(first.home / 'log').read_text()[-2000:]}")
    elif not for_good and worker_code != 0:
        outcome.problems.append(f"the worker ended with code {worker_code}: {(second.home / 'log').read_text()[-2000:]}")
    else:
        _check(run, server.url, outcome)
    shares = {host.name: complete(host) for host in (first, second)}
    return {
        "trials": search.trials,
        "resumes": search.resumes,
        "completed": outcome.completed,
        "by_host": shares,
        "retried": outcome.retried,
        "problems": outcome.problems,
    }


def _worker_of(trial: Any) -> str:
    return str(trial.user_attrs["owner"]["host"])


def _runs(study: optuna.Study, host: Host) -> bool:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return any("index" in t.user_attrs and _worker_of(t) == host.name for t in running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--for-good", action="store_true")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, postgres(Path(scratch)) as server:
        found = play(Path(scratch), server, options.trials, options.for_good)
    found = {"command": command("two_hosts"), **found}
    found["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(json.dumps(found, indent=1))
    if options.record:
        keep(options.record, found)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
