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

from optuna.trial import TrialState

from tests.chaos import TINY, Outcome, _check, _study, command, keep
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


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Block until it holds; ``TimeoutError`` after some minutes."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(what)
        time.sleep(0.2)


def play(root: Path, server: Server, trials: int, for_good: bool) -> dict[str, Any]:
    """The whole story; returns what there is to record."""
    run = root / "shared"
    run.mkdir()
    (root / "tiny.toml").write_text(TINY)
    first, second = Host(root, "host-a", run), Host(root, "host-b", run)
    storage = ("--storage", server.url, "--study", "search")
    search = first.start(
        "search", str(root / "tiny.toml"), "--out", str(first.run), "--trials", str(trials), *storage, "--quiet"
    )

    def complete(host: Host | None = None) -> int:
        study = _study(run, server.url)
        found = [] if study is None else study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return sum(host is None or _worker_of(t) == host.name or not host.named for t in found)

    def join() -> subprocess.Popen[bytes]:
        return second.start("worker", *storage, "--out", str(second.run))

    wait_for("the first host to complete a trial", lambda: complete(first) >= 1)
    worker = join()
    before = complete(second) if second.named else 0
    wait_for("the second host to complete a trial", lambda: complete(second) > before)
    os.killpg(worker.pid, signal.SIGTERM)  # leaves
    worker.wait()
    left_at = complete()
    wait_for("the first host to go on alone", lambda: complete() > left_at)
    worker = join()  # comes back
    here = complete(second)
    wait_for("the second host to be back", lambda: complete(second) > here)
    server.stop("immediate")
    time.sleep(5.0)
    server.start()
    restarted_at = complete()
    wait_for("the search to go on after the restart", lambda: complete() > restarted_at)
    if for_good:
        wait_for("the second host to run a trial", lambda: _runs(run, server.url, second))
        os.killpg(worker.pid, signal.SIGKILL)
    code = search.wait(timeout=PATIENCE)
    worker_code = worker.wait(timeout=60.0)
    outcome = Outcome(trials=trials)
    if code != 0:
        outcome.problems.append(f"the search ended with code {code}: {(first.home / 'log').read_text()[-2000:]}")
    elif not for_good and worker_code != 0:
        outcome.problems.append(f"the worker ended with code {worker_code}: {(second.home / 'log').read_text()[-2000:]}")
    else:
        _check(run, server.url, outcome)
    shares = {host.name: complete(host) for host in (first, second)}
    return {"completed": outcome.completed, "by_host": shares, "retried": outcome.retried, "problems": outcome.problems}


def _worker_of(trial: Any) -> str:
    return str(trial.user_attrs["owner"]["host"])


def _runs(run: Path, url: str, host: Host) -> bool:
    study = _study(run, url)
    assert study is not None
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
