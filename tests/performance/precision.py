"""A training step in bfloat16 beside float32, on one thread of this CPU: does ``nas benchmark --precision bfloat16`` pay here?

    python -m tests.performance.precision [--models covidnet,vgg19,…] [--image-size 96] [--steps 4] [--summary FILE]

Both are timed in turns in one run; printed: the fastest step of each and their ratio (above 1: bfloat16 is faster).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from baselines import Recipe, get_baseline
from nas.evaluation.device import Precision
from nas.evaluation.optimisation import make_optimiser, parameter_groups
from nas.evaluation.profile import Account
from nas.evaluation.step import make_step
from search_spaces import Budget, get_space

CPU = torch.device("cpu")
CANDIDATE = "15M candidate"


def network(name: str, image_size: int) -> torch.nn.Module:
    """A baseline by name, or a random candidate of the PEPX space within 15 MFLOPs."""
    if name != CANDIDATE:
        return get_baseline(name).construct(3, 1, image_size)
    space = get_space("pepx", classes=3, image_size=image_size)
    budget = Budget.parse("15M", image_size=image_size)
    return space.build(space.sample(np.random.default_rng(0), budget), image_size)


def fastest(model: torch.nn.Module, image_size: int, precision: Precision, steps: int) -> float:
    """Seconds of the fastest of some steps of 16 images."""
    recipe = Recipe()
    step = make_step(model, make_optimiser(parameter_groups(model, recipe), recipe, CPU), recipe, CPU, precision=precision)
    images, labels = torch.rand(16, 1, image_size, image_size), torch.arange(16) % 3
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        step(images, labels, Account())
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])  # the first one chooses kernels


def main(arguments: Sequence[str] | None = None) -> None:
    """Time the models, print and keep the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=f"{CANDIDATE},covidnet,detrac,resnet50,cnn,cnn_lstm,vgg19")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--summary", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = {}
    for name in chosen.models.split(","):
        model = network(name, chosen.image_size).train()
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        best = {p: float("inf") for p in get_args(Precision)}
        for _ in range(2):
            best = {p: min(best[p], fastest(model, chosen.image_size, p, chosen.steps)) for p in best}
        rows[name] = {p: round(16 / seconds, 1) for p, seconds in best.items()} | {
            "ratio": round(best["float32"] / best["bfloat16"], 2)
        }
        print(
            f"{name}: {rows[name]['float32']} images/s in float32, {rows[name]['bfloat16']} in bfloat16: {rows[name]['ratio']} times",
            flush=True,
        )
    if chosen.summary:
        command = f"python -m tests.performance.precision --image-size {chosen.image_size} --steps {chosen.steps}"
        chosen.summary.write_text(json.dumps({"command": command, "images_per_second": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
