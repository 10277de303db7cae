"""Is the phantom a fair exam? Random architectures, several seeds each, scored on fresh images.

    python -m tests.performance.phantom_exam --work exam.jsonl --out tests/performance/results/phantom_exam.json

It asks that balanced accuracy spans at least 0.65 to 0.90 over the architectures' means, that its standard deviation
between architectures is at least twice that between seeds, and that a 32 × 32 logistic model stays 10 points below the
best. Every training is one line of the work file: interrupted, the same command goes on where it stopped. Two processes
may share it, the second with ``--last-first``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from baselines.recipe import Recipe
from nas.data.dataset import Dataset
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, balanced_accuracy, predict_logits, train
from nas.files import write_json
from search_spaces import Budget, get_space

_SIZE = 64
_FRESH_SEED = 10_007


def recipe(epochs: int) -> Recipe:
    """The shared recipe, as many epochs as asked."""
    return Recipe(epochs=epochs)


def main() -> None:
    """Read the command line, train what is missing, summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("phantom_exam.jsonl"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--architectures", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=2000, help="training images")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--fresh", type=int, default=5000, help="images that are scored")
    parser.add_argument("--batch", type=int, default=6, help="architectures a share; all seeds of a share come first")
    parser.add_argument("--last-first", action="store_true", help="from the end: for a second process on the same work file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learn, fresh = phantom(arguments.train, _SIZE, seed=1), phantom(arguments.fresh, _SIZE, seed=_FRESH_SEED)
    done = _read(arguments.work, _setting(arguments, learn))
    _train_missing(arguments, learn, fresh, done)
    control = logistic_control(learn, fresh)
    summary = summarise(list(done.values()), control)
    print(json.dumps(summary, indent=1))
    if arguments.out:
        command = (
            f"python -m tests.performance.phantom_exam --architectures {arguments.architectures} --seeds {arguments.seeds} "
            f"--train {arguments.train} --epochs {arguments.epochs} --fresh {arguments.fresh}"
        )
        write_json(arguments.out, {"command": command, **summary, "trainings": sorted(done.values(), key=_order)})


def _order(row: dict[str, Any]) -> tuple[int, int]:
    return row["architecture"], row["seed"]


def _setting(arguments: argparse.Namespace, learn: Dataset) -> str:
    """What makes lines of the work file comparable: data and recipe."""
    return f"{learn.fingerprint}/{arguments.epochs}/{arguments.fresh}"


def _read(work: Path, setting: str) -> dict[tuple[int, int], dict[str, Any]]:
    """Trainings done under the same setting; a line cut short by an interruption is dropped."""
    done: dict[tuple[int, int], dict[str, Any]] = {}
    done_setting = {"setting": setting}
    for line in work.read_text().splitlines() if work.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("setting") == done_setting["setting"]:
            done[_order(row)] = row
    return done


def _train_missing(
    arguments: argparse.Namespace, learn: Dataset, fresh: Dataset, done: dict[tuple[int, int], dict[str, Any]]
) -> None:
    space = get_space("pepx", classes=3, in_channels=1, image_size=_SIZE)
    budget = Budget(flops=40e6, min_flops=5e6, image_size=_SIZE)
    architectures = space.sample_many(arguments.architectures, np.random.default_rng(0), budget)
    data, everything = DeviceData(learn), np.arange(len(learn))
    setting = _setting(arguments, learn)
    for number, seed in _sequence(arguments):
        if (number, seed) not in done:
            done |= _read(arguments.work, setting)  # another process may have come this far from the other end
        if (number, seed) in done:
            continue
        architecture = architectures[number]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = space.build(architecture, _SIZE)
        started = time.perf_counter()
        train(model, data, everything, everything[:0], recipe(arguments.epochs), seed=seed)
        seconds = time.perf_counter() - started
        score = balanced_accuracy(predict_logits(model, fresh.images), fresh.labels)
        cost = space.cost(architecture, _SIZE)
        row = {
            "setting": setting, "architecture": number, "seed": seed, "key": architecture.key,
            "flops": cost.flops, "parameters": cost.parameters, "balanced_accuracy": round(float(score), 4),
            "seconds": round(seconds, 1),
        }  # fmt: skip
        with arguments.work.open("a") as file:
            file.write(json.dumps(row) + "\n")
        done[number, seed] = row
        print(f"architecture {number} seed {seed}: {score:.3f}, {cost.flops / 1e6:.1f} MFLOPs, {seconds:.0f} s", flush=True)


def _sequence(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Architecture and seed of each training, share after share, each with all its seeds."""
    firsts = range(0, arguments.architectures, arguments.batch)
    shares = [range(first, min(first + arguments.batch, arguments.architectures)) for first in firsts]
    pairs = [(number, seed) for share in shares for seed in range(arguments.seeds) for number in share]
    return pairs[::-1] if arguments.last_first else pairs


def logistic_control(learn: Dataset, fresh: Dataset) -> float:
    """Balanced accuracy of a logistic model on 32 × 32 pixels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    def thumbnails(data: Dataset) -> np.ndarray:
        return functional.interpolate(torch.from_numpy(data.images).float() / 255, 32, mode="area").flatten(1).numpy()

    scale = StandardScaler().fit(thumbnails(learn))
    model = LogisticRegression(C=0.01, max_iter=300).fit(scale.transform(thumbnails(learn)), learn.labels)
    right = model.predict(scale.transform(thumbnails(fresh))) == fresh.labels
    return float(np.mean([right[fresh.labels == label].mean() for label in range(len(fresh.classes))]))


def summarise(rows: list[dict[str, Any]], control: float) -> dict[str, Any]:
    """The figures of the docstring; between-architecture variance is that of means less the seeds' share in it."""
    scores: dict[int, list[float]] = {}
    for row in rows:
        scores.setdefault(row["architecture"], []).append(row["balanced_accuracy"])
    means = np.array([np.mean(values) for values in scores.values()])
    several = [values for values in scores.values() if len(values) > 1]
    within = float(np.sqrt(np.mean([np.var(values, ddof=1) for values in several]))) if several else float("nan")
    size = np.mean([len(values) for values in scores.values()])
    between = float(np.sqrt(max(np.var(means, ddof=1) - within**2 / size, 0))) if len(means) > 1 and several else float("nan")
    best = float(means.max())
    figures = {
        "architectures": len(means),
        "trainings": len(rows),
        "lowest mean": float(means.min()),
        "highest mean": best,
        "lowest": min(min(values) for values in scores.values()),
        "highest": max(max(values) for values in scores.values()),
        "sd between architectures": between,
        "sd between seeds": within,
        "ratio": between / within if within else float("nan"),
        "logistic 32x32": control,
        "logistic below best": best - control,
        "seconds a training (median)": float(np.median([row["seconds"] for row in rows])),
    }
    return {name: round(value, 4) if value == value else None for name, value in figures.items()}


if __name__ == "__main__":
    main()
