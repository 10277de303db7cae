"""Our own trained landscape: a grid of PEPX networks on the phantom, each trained once for a few epochs on small images.

    python -m tests.performance.phantom_landscape --out TABLE.jsonl [--seconds 3600] [--replicates 40]

Networks are trained in a fixed random order, each written down when it is done, so a stopped run goes on where it was and an
unfinished table is a table of the networks that it has. Replicates (another training seed) say how much of the differences is
noise. The table stays outside the project; ``tests.performance.generator --problems TABLE.jsonl`` searches it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.recipe import Augmentation, Recipe
from nas.data.dataset import Dataset
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, predict_logits, quality, train
from search_spaces import Architecture, Budget, DecisionSpace, get_space
from search_spaces.space import SearchSpace

IMAGE_SIZE = 32
CLASSES = ("normal", "covid")
TRAINING, VALIDATION = 600, 1000  # images
BUDGET = Budget(flops=220_000, image_size=IMAGE_SIZE)  # 1,445 networks of the grid
RECIPE = Recipe(
    epochs=5,
    batch_size=64,
    learning_rate=3e-3,
    augmentation=Augmentation(rotation=0, translation=0.05, zoom=0, brightness=0, contrast=0),
)
GRID: dict[str, tuple[Any, ...]] = {
    "stem.width": (8, 16),
    "stage1.depth": (1, 2),
    "stage2.depth": (1, 2, 3),
    "stage3.depth": (1, 2),
    "stage2.width": (16, 32, 48),
    "stage3.width": (24, 48, 96),
    "kind": ("pepx", "plain"),
    "kernel": (3, 5),
    "squeeze_excitation": (False, True),
    "long_range": ("off", "add"),
}  # 3,456 combinations


def pepx_space() -> SearchSpace:
    """The space that the grid is a part of."""
    return get_space("pepx", classes=len(CLASSES), image_size=IMAGE_SIZE)


def network(choice: Mapping[str, Any], space: SearchSpace) -> Architecture:
    """The PEPX network that a point of the grid stands for: block widths follow the stage's, the rest is at its first choice."""
    values = {name: options[0] for name, options in space.decisions.items()}
    for name in space.decisions:
        stage, _, role = name.rpartition(".")
        width = choice.get(f"{stage.partition('.')[0]}.width", 16)
        wanted = {"projection": width / 2, "expansion": width, "second_projection": width / 2}
        if name in choice:
            values[name] = choice[name]
        elif role in choice:
            values[name] = choice[role]
        elif role in wanted:
            values[name] = min(space.decisions[name], key=lambda option: abs(option - wanted[role]))
    return space.architecture(values)


def grid_space(known: Mapping[str, float] | None = None) -> DecisionSpace:
    """The grid as a space; ``known`` (spelling → anything): only these points are valid."""
    space = pepx_space()

    def flops(choice: Mapping[str, Any]) -> float:
        if known is not None and spell(choice) not in known:
            return float("inf")
        return float(space.cost(network(choice, space), IMAGE_SIZE).flops)

    return DecisionSpace("pepx-grid", GRID, flops=flops, canonical=lambda choice: network(choice, space).key)


def spell(choice: Mapping[str, Any]) -> str:
    """How the table names a point."""
    return json.dumps(list(choice.values()))


def images() -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The phantom's images, rows to train on and rows to validate on."""
    dataset = phantom(n=TRAINING + VALIDATION, image_size=IMAGE_SIZE, seed=0, classes=CLASSES)
    return dataset, np.arange(TRAINING), np.arange(TRAINING, TRAINING + VALIDATION)


def train_network(
    architecture: Architecture,
    space: SearchSpace,
    data: DeviceData,
    rows: np.ndarray,
    seed: int,
    recipe: Recipe = RECIPE,
) -> torch.nn.Module:
    """A network trained on some rows of the data; weights, batches and augmentation come from the seed."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = space.build(architecture, IMAGE_SIZE)
    train(model, data, rows, rows[:0], recipe, seed=seed)
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the table lacks, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--replicates", type=int, default=40, help="networks of which a second seed is trained, first of all")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    end = time.monotonic() + chosen.seconds
    lines = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    done = {(row["key"], row["seed"]) for row in map(json.loads, lines)}
    dataset, training, validation = images()
    data, space, grid = DeviceData(dataset), pepx_space(), grid_space()
    points = {grid.architecture(dict(zip(GRID, values, strict=True))).key: values for values in product(*GRID.values())}
    order = [points[key] for key in sorted(points)]
    choices = [dict(zip(GRID, order[i], strict=True)) for i in np.random.default_rng(0).permutation(len(order))]
    feasible = [c for c in choices if BUDGET.admits(space.cost(network(c, space), IMAGE_SIZE))]
    plan = [(c, seed) for c in feasible[: chosen.replicates] for seed in (0, 1)] + [(c, 0) for c in feasible]
    print(f"{len(feasible)} feasible networks, {len(done)} trainings done", file=sys.stderr)
    for choice, seed in plan:
        architecture = network(choice, space)
        if (architecture.key, seed) in done or time.monotonic() > end:
            continue
        started = time.process_time()
        model = train_network(architecture, space, data, training, seed)
        value, error = quality(predict_logits(model, data, indices=validation), dataset.labels[validation])
        cost = space.cost(architecture, IMAGE_SIZE)
        row = {
            "key": architecture.key, "seed": seed, "choice": choice, "quality": value, "standard_error": error,
            "flops": cost.flops, "parameters": cost.parameters, "seconds": round(time.process_time() - started, 2),
        }  # fmt: skip
        done.add((architecture.key, seed))
        with chosen.out.open("a") as table:
            table.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
