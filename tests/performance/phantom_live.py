"""The generator against random search, live on the phantom: every evaluation is a training with the shared recipe.

    python -m tests.performance.phantom_live --out RUNS.jsonl [--seeds 10] [--evaluations 30] [--samplers generator,random]

Another process may share the work by ``--last-first``; ``--finished`` compares what has been run so far.
Each search picks its best network by validation; that network, as trained, is scored on 5,000 fresh images. Printed: the mean
of each sampler and the paired difference to random search over seeds with its 95 % interval (Student's t).
``generator+blocks`` is the generator with the feedback of block importances, ``generator+proxies`` with zero-cost proxies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from scipy.stats import t as student

from baselines.recipe import Recipe
from nas.data.dataset import Dataset
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, predict_logits, quality
from nas.evaluation.proxies import proxy_function
from nas.generator import make_sampler
from search_spaces import Budget
from tests.performance.phantom_landscape import CLASSES, IMAGE_SIZE, images, pepx_space, train_network

BUDGET = Budget(flops=400_000, image_size=IMAGE_SIZE)
FRESH = 5000
RECIPE = Recipe(epochs=5)
PROXIED = 32  # images that the proxies see


def run(strategy: str, seed: int, evaluations: int, fresh: Dataset) -> dict[str, Any]:
    """One search; returns the chosen network's validation and fresh log-loss."""
    space = pepx_space()
    dataset, training, validation = images()
    name, _, extra = strategy.partition("+")
    if extra not in ("", "blocks", "proxies"):
        raise SystemExit(f"strategy {strategy!r}: after the plus stands blocks or proxies")
    data, probed = DeviceData(dataset), extra == "blocks"
    options: dict[str, Any] = {"use_block_importances": True} if probed else {}
    if extra == "proxies":
        shown = torch.from_numpy(dataset.images[training[:PROXIED]]).float() / 255
        labels = torch.from_numpy(dataset.labels[training[:PROXIED]]).long()
        options["proxies"] = proxy_function(space, shown, labels, IMAGE_SIZE, seed)
    study = optuna.create_study(direction="minimize", sampler=make_sampler(name, space, BUDGET, seed, **options))
    best: tuple[float, torch.nn.Module] | None = None
    values: list[float] = []
    for index in range(evaluations):
        trial = study.ask()
        architecture = space.suggest(trial, BUDGET)
        model = train_network(architecture, space, data, training, 1000 * seed + index, RECIPE)
        value, error = quality(predict_logits(model, data, indices=validation), dataset.labels[validation])
        trial.set_user_attr("architecture", architecture.to_json())
        trial.set_user_attr("standard_error", error)
        if probed:
            from nas.inquisitor import block_probes

            trial.set_user_attr("block_importances", block_probes(model, dataset, validation, seed=seed, device="cpu"))
        study.tell(trial, value)
        values.append(round(value, 4))
        if best is None or value < best[0]:
            best = value, model
    assert best is not None
    score, error = quality(predict_logits(best[1], fresh.images), fresh.labels)
    return {"key": [strategy, seed, evaluations], "validation": best[0], "fresh": score, "fresh_error": error, "values": values}


def compare(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Paired difference second − first with its 95 % interval."""
    difference = second - first
    half = float(student.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5)
    return {
        "difference": float(difference.mean()),
        "low": float(difference.mean()) - half,
        "high": float(difference.mean()) + half,
    }


def read(path: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Runs that are done, by strategy, seed and number of evaluations."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(row["key"]): row for row in map(json.loads, lines)}


def run_all(keys: Sequence[tuple[str, int, int]], out: Path) -> None:
    """Run what the file does not hold yet, and append it there."""
    fresh = phantom(n=FRESH, image_size=IMAGE_SIZE, seed=999, classes=CLASSES)
    for key in keys:
        if key not in read(out):
            row = run(*key, fresh)
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--samplers", default="generator,random")
    parser.add_argument("--last-first", action="store_true", help="from the end: for a second process on the same file")
    parser.add_argument(
        "--finished", action="store_true", help="run nothing: compare the seeds that all strategies have finished"
    )
    parser.add_argument("--summary", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    strategies = chosen.samplers.split(",")
    keys = [(strategy, seed, chosen.evaluations) for seed in range(chosen.seeds) for strategy in strategies]
    if not chosen.finished:
        run_all(list(reversed(keys)) if chosen.last_first else keys, chosen.out)
    runs = read(chosen.out)
    seeds = [seed for seed in range(chosen.seeds) if all((s, seed, chosen.evaluations) in runs for s in strategies)]
    scores = {s: np.array([runs[s, seed, chosen.evaluations]["fresh"] for seed in seeds]) for s in strategies}
    summary: dict[str, Any] = {
        "command": f"python -m tests.performance.phantom_live --samplers {chosen.samplers} --seeds {chosen.seeds} "
        f"--evaluations {chosen.evaluations}",
        "seeds": seeds,
        "fresh_log_loss": {s: [round(float(v), 4) for v in values] for s, values in scores.items()},
        "mean": {s: float(values.mean()) for s, values in scores.items()},
        "gain_over_random": {
            s: compare(scores[s], scores["random"]) for s in strategies if s != "random" and "random" in scores
        },
    }
    print(json.dumps(summary, indent=1))
    if chosen.summary:
        chosen.summary.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
