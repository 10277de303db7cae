"""Tabular problems: every network of a space was trained once, so a search strategy is measured in seconds.

The tables stay outside the project; ``--tables`` or ``PEPX_NAS_TABLES`` says where they are.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import Architecture, Budget, DecisionSpace, InputError

TABLES = {
    "macro": ("nasbench_macro.csv", "acc_mean", "flops", 1.0, "canonical"),
    "cifar10": ("nasbench201.csv", "val_cifar10", "flops_M", 1e6, None),
    "cifar100": ("nasbench201.csv", "val_cifar100", "flops_M", 1e6, None),
}  # name → file, score, cost, unit of the cost, canonical spelling
PROBLEMS = tuple(f"{table}-p{quantile}" for table in TABLES for quantile in (25, 50))


@dataclass(frozen=True)
class Problem:
    """A table under a budget.

    Attributes:
        scores: spelling → score, larger better; ``errors``: its standard error, where the table has one.
        spell: how the table names a choice.
        top: score from which on a network belongs to the best 0.1 % of the distinct feasible ones (at least one).
        best: the best feasible score.
    """

    name: str
    space: DecisionSpace
    budget: Budget
    scores: Mapping[str, float]
    top: float
    best: float
    spell: Callable[[Mapping[str, Any]], str]
    errors: Mapping[str, float] = field(default_factory=dict)

    def score(self, architecture: Architecture) -> float:
        """A look-up: one evaluation."""
        return self.scores[self.spell(architecture)]

    def error(self, architecture: Architecture) -> float | None:
        """The score's standard error, if known."""
        return self.errors.get(self.spell(architecture))


def spelling(choices: Mapping[str, Any]) -> str:
    """The digits by which the tables name a network."""
    return "".join(map(str, choices.values()))


def tables_folder(argument: str | None) -> Path | None:
    """Where the tables are, by argument or variable; a folder that is not there raises ``InputError``."""
    folder = argument or os.environ.get("PEPX_NAS_TABLES")
    if folder and not Path(folder).is_dir():
        raise InputError(f"no folder of tables at {folder!r}; give --tables or set PEPX_NAS_TABLES")
    return Path(folder) if folder else None


def load_problem(name: str, folder: Path | None) -> Problem:
    """``table-pQ``: FLOPs at most the Q-th percentile over the table; ``synthetic-KIND-INSTANCE``; or our own landscape's file.

    Args:
        folder: of the tables; ``None`` is enough for our own.
    """
    if name.endswith(".jsonl"):
        return load_landscape(Path(name))
    if name.startswith("synthetic-"):
        return load_synthetic(name)
    if folder is None:
        raise InputError(f"problem {name!r} needs the folder of tables; give --tables or set PEPX_NAS_TABLES")
    table, _, quantile = name.rpartition("-p")
    if table not in TABLES or not quantile.isdigit() or int(quantile) > 100:
        raise InputError(f"no problem called {name!r}; choose among {', '.join(PROBLEMS)}, or another percentile")
    file, score, cost, unit, canonical = TABLES[table]
    if not (folder / file).is_file():
        raise InputError(f"problem {name!r} needs {folder / file}, which is not there; give the folder of tables by --tables")
    with (folder / file).open() as lines:
        rows = list(csv.DictReader(lines))
    flops = {row["arch"]: float(row[cost]) * unit for row in rows}
    scores = {row["arch"]: float(row[score]) for row in rows}
    same = {row["arch"]: row[canonical] for row in rows} if canonical else None
    limit = float(np.percentile(list(flops.values()), float(quantile)))
    digits = sorted({digit for row in rows for digit in row["arch"]})
    distinct = {(same[arch] if same else arch): scores[arch] for arch in flops if flops[arch] <= limit}
    ordered = sorted(distinct.values(), reverse=True)
    return Problem(
        name=name,
        space=DecisionSpace(
            table,
            {f"position{place}": tuple(map(int, digits)) for place in range(len(rows[0]["arch"]))},
            flops=lambda choice: flops[spelling(choice)],
            canonical=(lambda choice: same[spelling(choice)]) if same else None,
        ),
        budget=Budget(flops=limit),
        scores=scores,
        top=ordered[ceil(len(ordered) / 1000) - 1],
        best=ordered[0],
        spell=spelling,
    )


def load_synthetic(name: str) -> Problem:
    """``synthetic-KIND-INSTANCE``, of ``synthetic.py``."""
    from tests.performance.synthetic import landscape

    _, kind, instance = name.split("-")
    sizes, costs, values = landscape(kind, int(instance))
    names = ["".join(map(str, places)) for places in product(*map(range, sizes))]
    flops, scores = dict(zip(names, costs.tolist(), strict=True)), dict(zip(names, values.tolist(), strict=True))
    limit = float(np.percentile(costs, (25, 50)[int(instance) % 2]))
    ordered = sorted((scores[spelt] for spelt in names if flops[spelt] <= limit), reverse=True)
    decisions = {f"position{place}": tuple(range(size)) for place, size in enumerate(sizes)}
    return Problem(
        name=name,
        space=DecisionSpace(name, decisions, flops=lambda choice: flops[spelling(choice)]),
        budget=Budget(flops=limit),
        scores=scores,
        top=ordered[ceil(len(ordered) / 1000) - 1],
        best=ordered[0],
        spell=spelling,
    )


def load_landscape(path: Path) -> Problem:
    """Our own trained table, as far as it goes; score: minus the log-loss of the first seed."""
    from tests.performance.phantom_landscape import BUDGET, grid_space, spell

    rows = [row for row in map(json.loads, path.read_text().splitlines()) if row["seed"] == 0]
    scores = {spell(row["choice"]): -row["quality"] for row in rows}
    ordered = sorted(scores.values(), reverse=True)
    return Problem(
        name=path.stem,
        space=grid_space(scores),
        budget=BUDGET,
        scores=scores,
        top=ordered[ceil(len(ordered) / 1000) - 1],
        best=ordered[0],
        spell=spell,
        errors={spell(row["choice"]): row["standard_error"] for row in rows},
    )
