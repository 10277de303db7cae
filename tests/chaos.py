"""Kill a search again and again, resume it, and check that nothing was lost: ``python -m tests.chaos --help``.

Short form in the suite (``tests/engine/test_chaos.py``); long form by hand:

    python -m tests.chaos --kills 50 --workers 2 --trials 40
    python -m tests.chaos --kills 50 --workers 2 --trials 40 --storage postgresql
    python -m tests.chaos --kills 20 --workers 1 --trials 20 --storage sqlite
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.trial import TrialState

TINY = [
    "--data",
    "phantom:n=240",
    "--image-size",
    "32",
    "--budget",
    "1M",
    "--epochs",
    "2",
    "--sampler",
    "random",
    "--finalists",
    "1",
    "--final-seeds",
    "1",
]


@dataclass
class Outcome:
    """What a chaos run ended with; ``problems`` is empty when every promise was kept."""

    kills: int = 0
    resumes: int = 0
    completed: int = 0
    problems: list[str] = field(default_factory=list)


def run(
    directory: Path,
    *,
    kills: int,
    workers: int,
    trials: int,
    storage: str | None,
    seed: int,
    pause: tuple[float, float] = (3.0, 12.0),
) -> Outcome:
    """Search in ``directory`` with ``kills`` random SIGKILLs of workers and of the main process, then let it end and check it."""
    rng = random.Random(seed)
    outcome = Outcome()
    seen: dict[str, float] = {}
    while True:
        process = _start(directory, workers, trials, storage, resume=(directory / "settings.json").exists())
        while process.poll() is None and outcome.kills < kills:
            _wait(process, rng.uniform(*pause))
            if process.poll() is None:
                _kill_one(process.pid, rng)
                outcome.kills += 1
                _remember(directory, storage, seen, outcome)
        code = process.wait()
        if code == 0:
            break
        outcome.resumes += 1
        if outcome.resumes > kills + 10:
            outcome.problems.append(
                f"the search did not end (last exit code {code}): {(directory.parent / 'chaos.log').read_text()[-2000:]}"
            )
            return outcome
    _remember(directory, storage, seen, outcome)
    _check(directory, storage, trials, outcome)
    return outcome


def _start(directory: Path, workers: int, trials: int, storage: str | None, *, resume: bool) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-c", "from nas.cli import main; main()", "search", "--out", str(directory), "--json", *TINY]
    line += ["--workers", str(workers), "--trials", str(trials)]
    line += ["--storage", storage] if storage else []
    line += ["--resume"] if resume else []
    log = (directory.parent / "chaos.log").open("ab")
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _kill_one(main: int, rng: random.Random) -> None:
    """Kill a worker or, one time in three, the main process."""
    children = [int(pid) for pid in _children(main)]
    victim = main if not children or rng.random() < 1 / 3 else rng.choice(children)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)


def _children(pid: int) -> list[str]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return path.read_text().split()
    except OSError:
        return []


def _study(directory: Path, storage: str | None) -> optuna.Study | None:
    from nas.engine.storage import open_storage

    try:
        return optuna.load_study(
            study_name="search", storage=open_storage(storage, directory), sampler=optuna.samplers.RandomSampler()
        )
    except KeyError:
        return None


def _remember(directory: Path, storage: str | None, seen: dict[str, float], outcome: Outcome) -> None:
    """Every trial that was once complete must be complete ever after, with the same value."""
    study = _study(directory, storage)
    if study is None:
        return
    complete = {t.user_attrs["key"]: t.value for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    for key, value in seen.items():
        if complete.get(key) != value:
            outcome.problems.append(f"completed trial {key} was lost or changed: {value} → {complete.get(key)}")
    seen.update(complete)


def _check(directory: Path, storage: str | None, target: int, outcome: Outcome) -> None:
    from nas.engine.directory import damaged_files
    from nas.engine.study import trained
    from nas.evaluation import load_candidate
    from nas.files import read_json

    study = _study(directory, storage)
    assert study is not None
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    outcome.completed = len(complete)
    keys = [t.user_attrs["key"] for t in complete]
    if len(keys) != len(set(keys)):
        outcome.problems.append("a network was completed twice")
    if any(t.state == TrialState.RUNNING for t in trials):
        outcome.problems.append("a RUNNING trial was left behind")
    if trained(trials) != target:
        outcome.problems.append(f"{trained(trials)} candidates were trained, {target} were wanted")
    for trial in complete:
        home = directory / "trials" / trial.user_attrs["key"]
        load_candidate(home)
        if read_json(home / "trial.json")["quality"] != trial.value:
            outcome.problems.append(f"{home}: stored quality differs from the study's")
    outcome.problems += damaged_files(directory)


@contextlib.contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A PostgreSQL server of our own on loopback; yields its URL. Needs the server's programs on the machine."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise RuntimeError("no PostgreSQL server is installed; install the package postgresql")
    home, port = directory / "postgres", 20000 + os.getpid() % 20000
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # the server refuses to run as root
    home.mkdir(parents=True)
    if user:
        shutil.chown(home, "postgres", "postgres")
        for parent in [directory, *directory.parents]:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    tool = [*user, str(programs[-1] / "initdb"), "-D", str(home / "db"), "-A", "trust", "-U", "postgres"]
    subprocess.run(tool, check=True, stdout=subprocess.DEVNULL)
    control = [*user, str(programs[-1] / "pg_ctl"), "-D", str(home / "db"), "-w", "-l", str(home / "log")]
    subprocess.run(
        [*control, "-o", f"-p {port} -k {home} -c listen_addresses=127.0.0.1", "start"], check=True, stdout=subprocess.DEVNULL
    )
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--storage", choices=["journal", "postgresql", "sqlite"], default="journal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        root = Path(scratch)
        url = {"journal": None, "sqlite": f"sqlite:///{root}/study.db"}.get(options.storage)
        if options.storage == "postgresql":
            url = stack.enter_context(postgres(root))
        started = time.monotonic()
        outcome = run(
            root / "run", kills=options.kills, workers=options.workers, trials=options.trials, storage=url, seed=options.seed
        )
    print(f"{outcome} in {time.monotonic() - started:.0f} s")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
