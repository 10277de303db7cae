"""Candidates per minute over workers × threads: which way of sharing the cores evaluates most.

    python -m tests.performance.workers --json

Every setting trains the same networks for the same epochs in separate processes, which start together once all have imported and built
their data. "Before" is one worker that takes torch's default of a thread per core.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from baselines.recipe import Recipe
from nas.evaluation import DeviceData, train
from tests.performance.evaluation import network


def work(threads: int, seeds: list[int], asked: dict[str, Any], barrier: Any, finished: Any) -> None:
    """One worker process: train its share of the networks; report its wall-clock seconds."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    images, size = asked["images"], asked["image_size"]
    pixels = torch.from_numpy(rng.integers(0, 256, (images, 1, size, size), dtype=np.uint8))
    data = DeviceData.from_tensors(pixels, torch.from_numpy(rng.integers(0, 3, images)), 3)
    recipe, nothing = Recipe(epochs=asked["epochs"]), np.array([], dtype=np.int64)
    train(network(asked["mflops"], size), data, np.arange(64), nothing, Recipe(epochs=1), seed=0)  # kernels initialised
    barrier.wait()
    started = time.perf_counter()
    for seed in seeds:
        train(network(asked["mflops"], size, seed), data, np.arange(images), nothing, recipe, seed=seed)
    finished.put(time.perf_counter() - started)


def candidates_per_minute(workers: int, threads: int, asked: dict[str, Any]) -> float:
    """Rate of one setting; the slowest worker counts."""
    context = multiprocessing.get_context("spawn")
    barrier, finished = context.Barrier(workers), context.Queue()
    shares = [list(range(asked["candidates"]))[first::workers] for first in range(workers)]
    processes = [context.Process(target=work, args=(threads, share, asked, barrier, finished)) for share in shares]
    for process in processes:
        process.start()
    seconds = [finished.get() for _ in processes]
    for process in processes:
        process.join()
    return asked["candidates"] / max(seconds) * 60


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mflops", type=float, default=15)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--settings", nargs="+", default=["1x1", "1x2", "2x1", "2x2"], help="workers x threads")
    asked = vars(parser.parse_args())
    rates: dict[str, list[float]] = {setting: [] for setting in asked["settings"]}
    for _ in range(asked["repeats"]):  # settings take turns, so that other load on the machine cancels
        for setting in asked["settings"]:
            workers, threads = map(int, setting.split("x"))
            rates[setting].append(candidates_per_minute(workers, threads, asked))
            print(f"{setting}: {rates[setting][-1]:.1f} candidates a minute", file=sys.stderr, flush=True)
    table = {setting: statistics.median(values) for setting, values in rates.items()}
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "candidates_per_minute": table,
        "best": max(table, key=table.__getitem__),
    }
    if {"2x1", "1x2"} <= set(rates):
        result["two_workers_over_two_threads"] = statistics.median(
            a / b for a, b in zip(rates["2x1"], rates["1x2"], strict=True)
        )
    print(json.dumps(result, indent=1) if asked["json"] else result)


if __name__ == "__main__":
    main()
