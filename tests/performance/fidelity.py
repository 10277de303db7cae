"""What successive halving saves, and what it loses: final quality against full-fidelity search, paired over seeds.

    python -m tests.performance.fidelity --work fidelity.jsonl --json

For each seed the same random networks are searched twice: every one trained to the end, and by successive halving with resumable
rungs. Both pick by validation log-loss; both picks are scored on the same fresh images. A network's full training is
shared between the two, since a rung's training continued is the full training (a test holds that), so the curve of losses is all that halving needs. Interrupted, the
same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.recipe import Recipe
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, balanced_accuracy, predict_logits, train
from nas.evaluation.fidelity import Rungs, successive_halving
from nas.statistics import intervals
from search_spaces import Budget, get_space

SIZE = 64


def trained(seed: int, number: int, asked: argparse.Namespace, done: dict[str, Any]) -> dict[str, Any]:
    """Curve, cost and test score of one network, trained to the end (or read from the work file)."""
    key = f"{seed}-{number}"
    if key in done:
        return done[key]
    rng = np.random.default_rng([seed, number])
    space = get_space("pepx", classes=3, in_channels=1, image_size=SIZE)
    architecture = space.sample(rng, Budget(flops=asked.budget * 1e6, image_size=SIZE))
    torch.manual_seed(seed * 1_000 + number)
    model = space.build(architecture, SIZE)
    learn, fresh = _data(seed, asked)
    indices = np.arange(asked.images)
    training = train(model, learn, indices, np.arange(asked.images, len(learn)), Recipe(epochs=asked.epochs), seed=number)
    row = {
        "key": key,
        "curve": [record.validation["log_loss"] for record in training.history],
        "flops": space.cost(architecture, SIZE).flops,
        "test": balanced_accuracy(predict_logits(model, fresh), fresh.host_labels),
    }
    with asked.work.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(
        f"{key}: {row['flops'] / 1e6:.1f} MFLOPs, log-loss {row['curve'][-1]:.3f}, test {row['test']:.3f}",
        file=sys.stderr,
        flush=True,
    )
    return row


_CACHE: dict[int, tuple[DeviceData, DeviceData]] = {}


def _data(seed: int, asked: argparse.Namespace) -> tuple[DeviceData, DeviceData]:
    if seed not in _CACHE:
        _CACHE.clear()
        learn = phantom(n=asked.images + asked.validation, image_size=SIZE, seed=seed)
        _CACHE[seed] = DeviceData(learn), DeviceData(phantom(n=asked.fresh, image_size=SIZE, seed=seed + 10_000))
    return _CACHE[seed]


def compare(rows: list[dict[str, Any]], rungs: Rungs) -> dict[str, float]:
    """Halving against full training over one seed's networks: difference of test scores and share of the training cost."""
    full = min(rows, key=lambda row: row["curve"][-1])
    results = successive_halving(range(len(rows)), lambda i, rung: rows[i]["curve"][rung.epochs - 1], rungs)
    pick = rows[min(results[-1], key=results[-1].__getitem__)]
    spent, before = 0.0, 0
    for rung, losses in zip(rungs.rungs, results, strict=True):
        spent += sum(rows[i]["flops"] for i in losses) * (rung.epochs - before)
        before = rung.epochs
    whole = sum(row["flops"] for row in rows) * rungs.rungs[-1].epochs
    return {
        "difference": pick["test"] - full["test"],
        "cost_share": spent / whole,
        "full": full["test"],
        "halving": pick["test"],
    }


def main() -> None:
    """Train what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("fidelity.jsonl"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--reduction", type=int, default=2)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--images", type=int, default=1_200)
    parser.add_argument("--validation", type=int, default=600)
    parser.add_argument("--fresh", type=int, default=2_000)
    parser.add_argument("--budget", type=float, default=8, help="MFLOPs")
    asked = parser.parse_args()
    done: dict[str, Any] = {}
    if asked.work.exists():
        done = {row["key"]: row for row in map(json.loads, asked.work.read_text().splitlines())}
    rungs = Rungs.halving(asked.epochs, SIZE, reduction=asked.reduction, first=asked.first)
    pairs = [compare([trained(seed, i, asked, done) for i in range(asked.networks)], rungs) for seed in range(asked.seeds)]
    differences = np.array([pair["difference"] for pair in pairs])
    interval = intervals.mean(differences) if len(differences) > 1 else None
    result = {
        "rungs": [[rung.epochs, rung.keep] for rung in rungs.rungs],
        "mean_cost_share": float(np.mean([pair["cost_share"] for pair in pairs])),
        "mean_difference": float(differences.mean()),
        "interval": None if interval is None else [interval.low, interval.high],
        "not_inferior_by_0.01": interval is not None and interval.low > -0.01,
        "pairs": pairs,
    }
    print(json.dumps(result, indent=1) if asked.json else result)


if __name__ == "__main__":
    main()
