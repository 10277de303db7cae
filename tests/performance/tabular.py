"""Tabular problems: every network of a space was trained once, so a search strategy is measured in seconds.

The tables stay outside the project; ``--tables`` or ``PEPX_NAS_TABLES`` says where they are.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
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
        scores: spelling → score, larger better.
        top: score from which on a network belongs to the best 0.1 % of the distinct feasible ones (at least one).
        best: the best feasible score.
    """

    name: str
    space: DecisionSpace
    budget: Budget
    scores: Mapping[str, float]
    top: float
    best: float

    def score(self, architecture: Architecture) -> float:
        """A look-up: one evaluation."""
        return self.scores[spelling(architecture)]


def spelling(choices: Mapping[str, Any]) -> str:
    """The digits by which the tables name a network."""
    return "".join(map(str, choices.values()))


def tables_folder(argument: str | None) -> Path:
    """Where the tables are; neither argument nor variable raises ``InputError``."""
    folder = argument or os.environ.get("PEPX_NAS_TABLES")
    if not folder or not Path(folder).is_dir():
        raise InputError(f"no folder of tables at {folder!r}; give --tables or set PEPX_NAS_TABLES")
    return Path(folder)


def load_problem(name: str, folder: Path) -> Problem:
    """The problem called ``table-pQ``: FLOPs at most the Q-th percentile over the table."""
    table, _, quantile = name.rpartition("-p")
    file, score, cost, unit, canonical = TABLES[table]
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
    )
