"""Sample efficiency of the samplers on tabular problems, with common seeds.

    python -m tests.performance.generator --tables FOLDER [--samplers generator,random,…] [--seeds 30] [--workers 1,4,16,64]
    python -m tests.performance.generator --tables FOLDER --ablations
    python -m tests.performance.generator --problems LANDSCAPE.jsonl --ablations        (of tests.performance.phantom_landscape)

Prints, per problem and strategy, the mean validation regret after 20 / 50 / 100 / 150 evaluations and the evaluations to the
best 0.1 % of the feasible networks (counted as all where never reached), with standard errors. An evaluation is a distinct
network looked up. Runs that are in the results file already are not repeated.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from nas.generator import make_sampler, sampler_names
from search_spaces import InputError
from tests.performance.tabular import PROBLEMS, Problem, load_problem, tables_folder

AT = (20, 50, 100, 150)
NEAR_EDGE = {"start": "edge", "initial": 1_000_000}  # a start that never ends: random near the budget's edge
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "edge": ("generator", NEAR_EDGE),
    "uniform start": ("generator", {"start": "uniform"}),
    "start near the edge": ("generator", {"start": "edge"}),
    "ten at the start": ("generator", {"initial": 10}),
    "refit every time": ("generator", {"refit_every": 1}),
    "evolved": ("generator", {"enumerate_up_to": 0}),
    "without noise": ("generator", {"use_noise": False}),
    "without joint": ("generator", {"parts": ("paths", "counts", "cost")}),
    "without paths": ("generator", {"parts": ("joint", "counts", "cost")}),
    "without counts": ("generator", {"parts": ("joint", "paths", "cost")}),
    "without cost": ("generator", {"parts": ("joint", "paths", "counts")}),
}  # besides the samplers by name


def run(
    problem: Problem, strategy: str, seed: int, evaluations: int, workers: int = 1, stop_at_top: bool = False
) -> dict[str, Any]:
    """One search; ``workers`` simulated workers ask as soon as they are free, evaluations take 0.5 to 1.5 units of time.

    With ``stop_at_top`` it ends when the top is reached, and the later regrets are those of that moment: upper bounds.
    """
    name, options = STRATEGIES.get(strategy, (strategy, {}))
    sampler = make_sampler(name, problem.space, problem.budget, seed, **options)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    clock = np.random.default_rng([seed, workers])
    running: list[tuple[float, int, optuna.Trial, float]] = []
    scores: list[float] = []
    seen: set[str] = set()
    repeated = over_budget = 0
    now, spent, asked = 0.0, 0.0, 0
    while len(scores) < evaluations:
        while len(running) < workers and asked < evaluations:
            started = time.perf_counter()
            trial = study.ask()
            architecture = problem.space.suggest(trial)
            if (error := problem.error(architecture)) is not None:
                trial.set_user_attr("standard_error", error)
            spent += time.perf_counter() - started
            repeated += architecture.key in seen
            over_budget += not problem.budget.admits(problem.space.cost(architecture))
            seen.add(architecture.key)
            heapq.heappush(running, (now + float(clock.uniform(0.5, 1.5)), asked, trial, problem.score(architecture)))
            asked += 1
        now, _, trial, value = heapq.heappop(running)
        study.tell(trial, value)
        scores.append(value)
        if stop_at_top and value >= problem.top:
            break
    best = np.maximum.accumulate(scores)
    reached = np.flatnonzero(best >= problem.top)
    return {
        "to_top": int(reached[0]) + 1 if len(reached) else evaluations,
        "hit": bool(len(reached)),
        "regret": [round(problem.best - float(best[min(at, len(best)) - 1]), 4) for at in AT if at <= evaluations],
        "repeated": int(repeated),
        "over_budget": int(over_budget),
        "milliseconds": round(1000 * spent / asked, 1),
    }


class Results:
    """Runs in a file of JSON lines, each written when it is done."""

    def __init__(self, path: Path, stop_at_top: bool) -> None:
        self._path, self._stop_at_top = path, stop_at_top
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.runs = {tuple(run["key"]): run for run in map(json.loads, lines)}

    def get(self, problem: Problem, strategy: str, seed: int, evaluations: int, workers: int) -> dict[str, Any]:
        """A run, from the file or done now."""
        key = (problem.name, strategy, seed, evaluations, workers, *["to the top"] * self._stop_at_top)
        if key not in self.runs:
            self.runs[key] = {"key": list(key), **run(problem, strategy, seed, evaluations, workers, self._stop_at_top)}
            with self._path.open("a") as lines:
                lines.write(json.dumps(self.runs[key]) + "\n")
        return self.runs[key]


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with standard errors over seeds."""
    to_top = np.array([run["to_top"] for run in runs], dtype=float)
    regret = np.array([run["regret"] for run in runs])
    root = max(len(runs), 1) ** 0.5
    return {
        "seeds": len(runs),
        "to_top": round(float(to_top.mean()), 1),
        "to_top_se": round(float(to_top.std(ddof=1) / root), 1) if len(runs) > 1 else None,
        "hits": sum(run["hit"] for run in runs),
        "regret": [round(float(value), 3) for value in regret.mean(axis=0)],
        "regret_se": [round(float(value) / root, 3) for value in regret.std(axis=0, ddof=1)] if len(runs) > 1 else None,
        "repeated": sum(run["repeated"] for run in runs),
        "over_budget": sum(run["over_budget"] for run in runs),
        "milliseconds": round(float(np.mean([run["milliseconds"] for run in runs])), 1),
    }


def table(rows: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The summaries as a table in Markdown."""
    head = "| problem, strategy, workers | seeds | @20 | @50 | @100 | @150 | evaluations to top 0.1 % | hits | repeated | over budget | ms |"
    lines = [head, "|---" * 11 + "|"]
    for name, s in rows:
        errors = s["regret_se"] or [0.0] * len(s["regret"])
        known = [f"{value:.2f} ± {error:.2f}" for value, error in zip(s["regret"], errors, strict=True)]
        regret = " | ".join([*known, *["–"] * (len(AT) - len(known))])
        top = f"{s['to_top']:.0f} ± {s['to_top_se'] or 0:.0f}"
        lines.append(
            f"| {name} | {s['seeds']} | {regret} | {top} | {s['hits']}/{s['seeds']} | {s['repeated']} | {s['over_budget']} | {s['milliseconds']} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table, write the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables")
    parser.add_argument("--samplers", default=",".join(sampler_names()))
    parser.add_argument("--ablations", action="store_true", help="the generator beside its own ablations")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--workers", default="1")
    parser.add_argument(
        "--stop-at-top", action="store_true", help="end a run when it has found the top; later regrets are bounds"
    )
    parser.add_argument("--runs", type=Path, default=Path("generator-runs.jsonl"), help="file that a stopped run resumes from")
    parser.add_argument("--summary", type=Path, help="write the summary as JSON")
    chosen = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    strategies = ["generator", *STRATEGIES] if chosen.ablations else chosen.samplers.split(",")
    try:
        folder = tables_folder(chosen.tables)
        problems = [load_problem(name, folder) for name in chosen.problems.split(",")]
        for strategy in strategies:
            name, options = STRATEGIES.get(strategy, (strategy, {}))
            make_sampler(name, problems[0].space, problems[0].budget, **options)
    except InputError as error:
        parser.error(str(error))
    results = Results(chosen.runs, chosen.stop_at_top)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, problem in zip(chosen.problems.split(","), problems, strict=True):
        for strategy in strategies:
            for workers in map(int, chosen.workers.split(",")):
                label = f"{name}, {strategy}" + (f", {workers} workers" if workers > 1 else "")
                for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
                    found[label].append(results.get(problem, strategy, seed, chosen.evaluations, workers))
                print(table([(label, summary(found[label]))]).splitlines()[-1], file=sys.stderr, flush=True)
    summaries = {label: summary(runs) for label, runs in found.items()}
    print(table(summaries.items()))
    if chosen.summary:
        options = f"--seeds {chosen.seeds} --evaluations {chosen.evaluations} --workers {chosen.workers}"
        options += f" --samplers {','.join(strategies)} --problems {chosen.problems}" + " --stop-at-top" * chosen.stop_at_top
        record(chosen.summary, f"python -m tests.performance.generator --tables FOLDER {options}", summaries)
    broken = [label for label, found in summaries.items() if found["repeated"] or found["over_budget"]]
    assert not broken, f"repeated or over-budget networks in {broken}; no sampler may propose one"


def record(path: Path, command: str, summaries: dict[str, dict[str, Any]]) -> None:
    """Add rows, and the command that made them, to a file; rows of the same name are replaced."""
    old = json.loads(path.read_text()) if path.exists() else {"commands": [], "rows": {}}
    commands = [*(known for known in old["commands"] if known != command), command]
    rows = ",\n".join(f"  {json.dumps(label)}: {json.dumps(row)}" for label, row in (old["rows"] | summaries).items())
    path.write_text(f'{{\n "commands": {json.dumps(commands, indent=1)},\n "rows": {{\n{rows}\n }}\n}}\n')


if __name__ == "__main__":
    main()
