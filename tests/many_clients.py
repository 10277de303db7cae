"""64 clients ask and tell through one gRPC proxy before PostgreSQL: throughput, latency, nothing lost, nothing twice.

    python -m tests.many_clients [--trials 10000] [--clients 64] [--processes 4] [--record FILE]

The objective is a sum, so that all of the time goes into asking and telling. Every client has a connection and a cache of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from nas.engine.storage import open_storage
from tests.chaos import command, keep
from tests.postgres import _free_port, postgres

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.WARNING)


def client(url: str, name: int, trials: int) -> list[tuple[float, float]]:
    """One client's whole work; returns the seconds of each ask (with its parameters) and of each tell."""
    study = optuna.load_study(
        study_name="clients", storage=open_storage(url, Path()), sampler=optuna.samplers.RandomSampler(seed=name)
    )
    taken = []
    for index in range(trials):
        started = time.perf_counter()
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 0, 9)
        trial.set_user_attr("client", [name, index])
        asked = time.perf_counter()
        study.tell(trial, value)
        taken.append((asked - started, time.perf_counter() - asked))
    return taken


def clients(url: str, work: dict[int, int], start: Any, results: Any) -> None:
    """Several clients as threads of one process, which begin when every process is ready."""
    start.wait()
    with ThreadPoolExecutor(len(work)) as pool:
        futures = [pool.submit(client, url, name, trials) for name, trials in work.items()]
        results.put([taken for future in futures for taken in future.result()])


def run(root: Path, count: int, trials: int, processes: int) -> dict[str, Any]:
    """Start the server and the proxy, let the clients work, and look at what the database has."""
    with postgres(root) as server:
        port = _free_port()
        proxy = subprocess.Popen(
            [sys.executable, "-m", "nas.engine.proxy", "--storage", server.url, "--port", str(port)], stderr=subprocess.PIPE
        )
        assert proxy.stderr is not None
        proxy.stderr.readline()  # it serves
        try:
            return _measure(f"grpc://127.0.0.1:{port}", server.url, count, trials, processes)
        finally:
            proxy.terminate()
            proxy.wait()


def _measure(url: str, database: str, count: int, trials: int, processes: int) -> dict[str, Any]:
    optuna.create_study(study_name="clients", storage=open_storage(url, Path()))
    share = {name: trials // count + (name < trials % count) for name in range(count)}
    context = multiprocessing.get_context("spawn")
    results, start = context.Queue(), context.Barrier(processes + 1)
    crowd = [
        context.Process(target=clients, args=(url, {n: share[n] for n in range(first, count, processes)}, start, results))
        for first in range(processes)
    ]
    for process in crowd:
        process.start()
    start.wait()
    started = time.perf_counter()
    taken = np.array([pair for _ in crowd for pair in results.get(timeout=3600)])
    seconds = time.perf_counter() - started
    for process in crowd:
        process.join()
    found = optuna.load_study(study_name="clients", storage=open_storage(database, Path())).get_trials(deepcopy=False)
    told = [tuple(t.user_attrs["client"]) for t in found if t.state == TrialState.COMPLETE]
    wanted = {(name, index) for name, many in share.items() for index in range(many)}
    wrong = sum(t.value != t.params["x"] + t.params["n"] for t in found if t.state == TrialState.COMPLETE)
    problems = [] if [t.number for t in found] == list(range(trials)) else ["trial numbers are not 0, 1, 2, …"]
    problems += [f"{wrong} trials have another value than was told"] if wrong else []
    milliseconds = 1000 * np.vstack([taken.T, taken.sum(1)])
    latency = {
        name: {"median": round(float(np.median(row)), 1), "p99": round(float(np.quantile(row, 0.99)), 1)}
        for name, row in zip(("ask", "tell", "both"), milliseconds, strict=True)
    }
    return {
        "trials": len(found),
        "lost": len(wanted - set(told)),
        "twice": len(told) - len(set(told)),
        "trials_per_second": round(trials / seconds, 1),
        "milliseconds": latency,
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = run(Path(scratch), options.clients, options.trials, options.processes)
    found = {"command": command("many_clients"), **found}
    print(json.dumps(found, indent=1))
    if options.record:
        keep(options.record, found)
    return 1 if found["problems"] or found["lost"] or found["twice"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
