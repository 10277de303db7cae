"""The auditor audited: planted cheats and honest models, and how well each test tells them apart.

python -m nas.inquisitor.self_test --out results.jsonl            # the full grid; stop and start it as you like
python -m nas.inquisitor.self_test --out results.jsonl --summary summary.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.data.dataset import Dataset
from nas.files import make_folder, write_json
from nas.inquisitor.attribution.localisation import mass_outside
from nas.inquisitor.attribution.methods import METHODS
from nas.inquisitor.audit import audit_model
from nas.inquisitor.context import Settings
from nas.inquisitor.engine import Engine, to_float
from nas.inquisitor.planted import ARCHITECTURES, KINDS, Plant, audit_images, raise_model, truth_about
from nas.inquisitor.regions import chest_region
from nas.inquisitor.report_card import Card, report_card, worst_score
from nas.records import Finding

AUDITED = 1000  # images
TESTS = ("T1", "T2", "T3", "T4", "T5", "T6", "T8", "T9", "T13")
SETTINGS = Settings(recipients=400, entries=1600)
Row = dict[str, Any]


def plants(quick: bool = False) -> list[Plant]:
    """The models of the self-test, so ordered that any beginning of the list is a fair sample of it.

    Full: 210 honest ones (6 cues × 5 networks × 7) and 180 planted (6 cues × strengths 0.5 and 0.9 × 5 networks × 3).
    Quick: 12 honest and 12 planted at 0.9, two networks.
    """
    names = list(ARCHITECTURES)[:2] if quick else list(ARCHITECTURES)
    rounds: list[list[Plant]] = []
    for seed in range(1 if quick else 7):
        strengths: tuple[float, ...] = (0.0, 0.9) if quick else (0.0, 0.5, 0.9) if seed < 3 else (0.0,)
        turns = [
            (place, kind, names[(place + shift) % len(names)])
            for place in range(len(names))
            for shift, kind in enumerate(KINDS)
        ]
        rounds.append([Plant(kind, strength, name, seed) for _, kind, name in turns for strength in strengths])
    return [plant for group in rounds for plant in group]


def question(plant: Plant) -> Row:
    """Train one model, audit it, and measure the truth about it: one line of the results."""
    started = time.process_time()
    model, data = raise_model(plant), audit_images(plant, AUDITED)
    trained = time.process_time()
    finding = audit_model(model, data, tests=TESTS, settings=SETTINGS, seed=plant.seed)
    audited = time.process_time()
    truth = truth_about(model, plant, data)
    return {
        "key": plant.key, "kind": plant.kind, "strength": plant.strength, "architecture": plant.architecture, "seed": plant.seed,
        "auc": round(truth.auc, 5), "auc_free": round(truth.auc_free, 5), "true_effect": round(truth.effect, 5),
        "verdict": finding.verdict, "reason": finding.binding_reason,
        "gates": {gate.name: gate.passed for gate in finding.gates}, "tests": _figures(finding), "maps": _maps(model, data),
        "seconds": {"raise": round(trained - started, 2), "audit": round(audited - trained, 2)},
    }  # fmt: skip


def _figures(finding: Finding) -> dict[str, Row]:
    return {
        item.test: {
            "effect": item.effect, "p": item.p_value, "verdict": item.verdict, "score": item.score,
            "detectable": item.minimum_detectable_effect,
        }
        for item in finding.tests
    }  # fmt: skip


def _maps(model: nn.Module, data: Dataset, n: int = 100) -> dict[str, float]:
    """Attribution alone, as published audits used it: mean share of positive evidence outside the chest."""
    rows = np.flatnonzero(data.labels == 1)[:n]
    pictures, regions = to_float(torch.from_numpy(data.images[rows])), chest_region(torch.from_numpy(data.masks(rows)))[:, 0]
    targets, engine = torch.ones(len(rows), dtype=torch.int64), Engine(model)
    found = {}
    for name in ("grad_cam", "integrated_gradients"):
        shares = mass_outside(METHODS.get(name)(engine, pictures, targets).values, regions)
        found[name] = round(float(shares[shares.isfinite()].mean()) if shares.isfinite().any() else 0.0, 5)
    return found


def self_test(
    quick: bool = True,
    *,
    out: Path | None = None,
    shard: tuple[int, int] = (0, 1),
    limit: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Card:
    """Plant shortcuts, train honest and cheating models, audit them all, and report how the tests did.

    Args:
        quick: 24 models (a few minutes) instead of 390.
        out: a JSON-lines file, or a directory to keep one in; models that stand in it are not trained again, new ones are appended one by one.
        shard: (k, m): only every m-th model from the k-th on, so that m processes share the work (each its own file).
        limit: at most so many models in this call.
    """
    if out is not None and (out.is_dir() or not out.suffix):
        out = out / "self_test.jsonl"
    if out is not None:
        make_folder(out.parent)
    rows = read_rows([out]) if out else []
    done = {row["key"] for row in rows}
    wanted = [plant for plant in plants(quick)[shard[0] :: shard[1]] if plant.key not in done][:limit]
    for number, plant in enumerate(wanted):
        if progress:
            progress(plant.key, number / len(wanted))
        rows.append(question(plant))
        if out:
            _append(out, rows[-1])
    return report_card(rows, len(plants(quick)))


def _append(path: Path, row: Row) -> None:
    """Add a line; what a kill left of the line before is closed first, so that it spoils nothing else."""
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + json.dumps(row) + "\n")


def read_rows(files: Iterable[Path]) -> list[Row]:
    """All whole lines of result files; a line that a kill cut short is left out."""
    rows = []
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue  # the last line of an interrupted run: its model is trained again
    return rows


def main() -> None:
    """Run a shard of the grid, or summarise result files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, nargs="+", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shard", type=int, nargs=2, default=(0, 1), metavar=("K", "M"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--summary", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.summary:
        rows = read_rows(arguments.out)
        card = report_card(rows, len(plants(arguments.quick)))
        shown = [f"{r['key']} AUC {r['auc']} free {r['auc_free']} score {worst_score(r)} {r['verdict']}" for r in rows]
        write_json(
            arguments.summary,
            {"command": "python -m nas.inquisitor.self_test --out RESULTS.jsonl", **card.record, "rows": shown},
        )
    else:
        card = self_test(arguments.quick, out=arguments.out[0], shard=tuple(arguments.shard), limit=arguments.limit)
    print(card.table())


if __name__ == "__main__":
    main()
