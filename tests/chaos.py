"""Kill a search again and again, resume it, and check that nothing was lost: ``python -m tests.chaos --help``.

Short form in the suite (``tests/engine/test_chaos.py``); long form by hand, each adding its outcome to a file of records:

    python -m tests.chaos --kills 50 --workers 2 --record tests/performance/results/chaos.json
    python -m tests.chaos --kills 50 --workers 2 --storage postgresql --record tests/performance/results/chaos.json
    python -m tests.chaos --kills 50 --workers 1 --storage sqlite --record tests/performance/results/chaos.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tests.postgres import postgres

TINY = """
data = ["phantom:n=60"]
image_size = 32
budget = "300K"
epochs = 2
sampler = "random"
screen = false
prune = false
finalists = 1
final_seeds = 1
audit_images = 40
device = "cpu"
"""  # two epochs: a killed trial goes on from its checkpoint
STARTING_SECONDS = 45.0
MORE = 20  # trials to add where the search ends before the kills are used up


@dataclass
class Outcome:
    """What a chaos run ended with; ``problems`` is empty when every promise was kept."""

    kills: int = 0
    kills_of_main: int = 0
    trials: int = 0  # wanted in the end
    retried: int = 0
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
    pause: tuple[float, float] = (0.2, 4.0),
) -> Outcome:
    """Search in ``directory`` with ``kills`` random SIGKILLs of workers and of the main process, then let it end and check it.

    A search that ends before is told to want more trials and resumed, so that all kills fall into a running search.
    """
    rng = random.Random(seed)
    outcome = Outcome(trials=trials)
    seen: dict[str, float] = {}
    (directory.parent / "tiny.toml").write_text(TINY)
    while True:
        process = _start(directory, workers, outcome.trials, storage)
        while process.poll() is None and outcome.kills < kills:
            _wait_for_work(process, directory, storage)
            _wait(process, rng.uniform(*pause))
            if process.poll() is None:
                outcome.kills_of_main += _kill_one(process.pid, rng)
                outcome.kills += 1
                _remember(directory, storage, seen, outcome)
        code = process.wait()
        if code == 0 and outcome.kills >= kills:
            break
        if code == 0:
            outcome.trials += MORE
        outcome.resumes += 1
        if outcome.resumes > 2 * kills + 10:
            outcome.problems.append(
                f"the search did not end (last exit code {code}): {(directory.parent / 'chaos.log').read_text()[-2000:]}"
            )
            return outcome
    _remember(directory, storage, seen, outcome)
    _check(directory, storage, outcome)
    return outcome


def _start(directory: Path, workers: int, trials: int, storage: str | None) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-c", "from nas.cli import main; main()", "search", "--out", str(directory), "--json", "--quiet"]
    line += ["--workers", str(workers), "--trials", str(trials)]
    line += ["--storage", storage] if storage else []
    line += ["--resume"] if (directory / "settings.json").exists() else [str(directory.parent / "tiny.toml")]
    with (directory.parent / "chaos.log").open("ab") as log:  # the process has its own handle of it
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _wait_for_work(process: subprocess.Popen[bytes], directory: Path, storage: str | None) -> None:
    """Until a worker has asked for a trial since the last kill: most kills then fall into trials, not into starting up.

    At most ``STARTING_SECONDS``, so that some fall into whatever else takes long: starting, retraining, the page.
    """
    study, before, limit = None, -1, time.monotonic() + STARTING_SECONDS
    while process.poll() is None and time.monotonic() < limit:
        if study is None and (directory / "identity.json").exists():  # the study's tables are there
            study = _study(directory, storage)
        if study is not None:
            trials = len(study.get_trials(deepcopy=False))
            if trials > before >= 0:
                return
            before = trials
        _wait(process, 0.5)


def _kill_one(main: int, rng: random.Random) -> bool:
    """Kill a worker or, one time in four, the main process; returns whether it was the main one."""
    children = [int(pid) for pid in _children(main)]
    victim = main if not children or rng.random() < 1 / 4 else rng.choice(children)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return victim == main


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


def _check(directory: Path, storage: str | None, outcome: Outcome) -> None:
    from nas.engine.directory import damaged_files
    from nas.engine.study import trained
    from nas.files import read_json

    study = _study(directory, storage)
    assert study is not None
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    outcome.completed = len(complete)
    outcome.retried = sum("retry_of" in t.user_attrs for t in trials)
    keys = [t.user_attrs["key"] for t in complete]
    if len(keys) != len(set(keys)):
        outcome.problems.append("a network was completed twice")
    if any(t.state == TrialState.RUNNING for t in trials):
        outcome.problems.append("a RUNNING trial was left behind")
    if trained(trials) != outcome.trials:
        outcome.problems.append(f"{trained(trials)} candidates were trained, {outcome.trials} were wanted")
    recorded = {t["key"]: t["quality"] for t in read_json(directory / "run.json")["trials"] if t["outcome"] == "completed"}
    if recorded != {t.user_attrs["key"]: t.value for t in complete}:
        outcome.problems.append("the run's record and the study differ")
    outcome.problems += damaged_files(directory)
    outcome.problems += _other_weights(directory, complete)


def _other_weights(directory: Path, complete: list[FrozenTrial]) -> list[str]:
    """Trials whose weights on disk do not give the score that the study has of them."""
    from nas.engine.context import Context
    from nas.engine.directory import RunDirectory
    from nas.engine.settings import parse_settings
    from nas.evaluation import load_candidate, predict_logits, quality
    from nas.files import read_json

    context = Context.open(parse_settings(read_json(directory / "settings.json")), RunDirectory(directory))
    held_out = context.parts.validation
    problems = []
    for trial in complete:
        home = directory / "trials" / trial.user_attrs["key"]
        logits = predict_logits(load_candidate(home).model, context.dataset.images[held_out])
        value = quality(logits, context.dataset.labels[held_out])[0]
        if read_json(home / "trial.json")["quality"] != trial.value or abs(value - trial.value) > 1e-4:
            problems.append(f"{home}: weights give {value}, the study says {trial.value}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--storage", choices=["journal", "postgresql", "sqlite"], default="journal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="file of records to add the outcome to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        root = Path(scratch)
        url = {"journal": None, "sqlite": f"sqlite:///{root}/study.db"}.get(options.storage)
        if options.storage == "postgresql":
            url = stack.enter_context(postgres(root)).url
        started = time.monotonic()
        outcome = run(
            root / "run", kills=options.kills, workers=options.workers, trials=options.trials, storage=url, seed=options.seed
        )
    found = {"command": command("chaos"), **asdict(outcome)}
    found["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(json.dumps(found, indent=1))
    if options.record:
        keep(options.record, found)
    return 1 if outcome.problems else 0


def command(module: str) -> str:
    """The command line that made a record, without where it was written."""
    words = iter(sys.argv[1:])
    shown = [word for word in words if word not in ("--record", "--work") or next(words) is None]
    return " ".join(["python -m", f"tests.{module}", *shown])


def keep(path: Path, found: dict[str, Any]) -> None:
    """Add a record to a file of records; one of the same command is replaced."""
    records = json.loads(path.read_text()) if path.exists() else []
    records = [record for record in records if record["command"] != found["command"]] + [found]
    path.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
