"""The search spaces at length: exactness, speed, budgets, keys.

    python -m tests.performance.spaces exact  [--spaces pepx,mbconv,fire] [--n 1000] [--sizes 32,48,97]   (resumable)
    python -m tests.performance.spaces speed                 samples a second, and the analytic cost against fvcore in one run
    python -m tests.performance.spaces budget [--n 100000]   samples, mutations, repairs: how many break the budget
    python -m tests.performance.spaces infeasible            200 random budgets a space: samples, or the proof, and the seconds
    python -m tests.performance.spaces keys   [--n 2000]     keys against built graphs, engineered synonyms included

``exact`` appends to the results file and goes on where it stopped. Each prints one JSON line per finding.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import Architecture, Budget, BudgetInfeasibleError, SearchSpace, get_space

RESULTS = Path(__file__).parent / "results" / "spaces.jsonl"
SPREAD = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)  # budgets between smallest and largest, on a log scale


def budgets(space: SearchSpace, shares: Iterator[float] | tuple[float, ...] = SPREAD) -> list[Budget]:
    """FLOP budgets from the smallest reachable to the largest."""
    low, high = space.smallest()["flops"], space.largest()["flops"]  # type: ignore[attr-defined]  # spaces of networks have it
    return [Budget(flops=low * (high / low) ** share) for share in shares]


def exact(options: argparse.Namespace) -> None:
    """Parameters, FLOPs and memory of random architectures against the built and traced network."""
    from search_spaces.counting import count

    done = {(row["space"], row["index"], row["size"]) for row in _rows() if row["what"] == "exact"}
    for name in options.spaces:
        for index in range(options.n):
            for size in options.sizes:
                if (name, index, size) in done:
                    continue
                rng = np.random.default_rng([index, 1])
                space = get_space(name, in_channels=(1, 3)[index % 2], image_size=size)
                low = space.smallest()["flops"]
                architecture = space.sample(rng, Budget(flops=low * 300 ** rng.random()))
                cost = space.cost(architecture)
                counted = count(space.build(architecture), size)
                row = {"what": "exact", "space": name, "index": index, "size": size}
                row["parameters"] = cost.parameters == counted.parameters
                row["flops"] = cost.flops == counted.flops
                row["memory"] = round(cost.memory / counted.memory, 6)
                _append(row)
        rows = [row for row in _rows() if row["what"] == "exact" and row["space"] == name]
        ratios = [row["memory"] for row in rows] or [1.0]
        _print(
            what="exact",
            space=name,
            networks=len(rows),
            parameters=sum(row["parameters"] for row in rows),
            flops=sum(row["flops"] for row in rows),
            memory_ratio=(min(ratios), max(ratios)),
        )


def speed(options: argparse.Namespace) -> None:
    """Processor seconds of this process: rates on one core whatever else runs, though a loaded machine slows them."""
    for name in options.spaces:
        space, rng = get_space(name, image_size=64), np.random.default_rng(0)
        _print(what="ratio", space=name, **_against_fvcore(space, rng))
        for share, bound in zip(SPREAD, budgets(space), strict=True):
            _print(what="rate", space=name, share=share, flops=round(bound.flops or 0), **_rates(space, bound, rng))


def _rates(space: SearchSpace, bound: Budget, rng: np.random.Generator) -> dict[str, Any]:
    space.sample_many(500, rng, bound)  # warm: what a space remembers of its blocks is part of it
    filled = [bound.use(space.cost(space.sample(rng, bound, fill=True))) for _ in range(25)]
    return {
        "many": _rate(lambda n: len(space.sample_many(n, rng, bound)), 5000),
        "single": _rate(lambda n: sum(space.sample(rng, bound) is not None for _ in range(n)), 500),
        "filled": round(float(np.median(filled)), 4),
    }


def _against_fvcore(space: SearchSpace, rng: np.random.Generator) -> dict[str, float]:
    from fvcore.nn import FlopCountAnalysis
    from torch import zeros

    chosen = space.sample_many(40, rng, Budget(flops=20 * space.smallest()["flops"]))
    traced, analytic, public = 0.0, 0.0, 0.0
    for architecture in chosen:
        model = space.build(architecture).eval()
        start = time.process_time()
        analysis = (
            FlopCountAnalysis(model, zeros(1, 1, 64, 64)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        )
        analysis.total()
        middle = time.process_time()
        for _ in range(20):
            space._figures(architecture.values_tuple, 64, 1, 3)
        end = time.process_time()
        for _ in range(20):
            space.cost(architecture)
        traced, analytic = traced + middle - start, analytic + (end - middle) / 20
        public += (time.process_time() - end) / 20
    count = len(chosen)
    return {
        "fvcore_ms": round(1e3 * traced / count, 3),
        "figures_us": round(1e6 * analytic / count, 2),
        "cost_us": round(1e6 * public / count, 2),
        "ratio_figures": round(traced / analytic),
        "ratio_cost": round(traced / public),
    }


def _rate(work: Callable[[int], int], n: int) -> int:
    start = time.process_time()
    assert work(n) == n
    return round(n / (time.process_time() - start))


def budget(options: argparse.Namespace) -> None:
    """Samples, mutations and repairs in equal numbers over the spread of budgets."""
    for name in options.spaces:
        space, rng = get_space(name, image_size=64), np.random.default_rng(1)
        bounds = budgets(space)
        each = -(-options.n // len(bounds))
        loose = budgets(space, (0.7,))[0]
        broken = {"samples": 0, "mutations": 0, "repairs": 0}
        start = time.perf_counter()
        for bound in bounds:
            samples = space.sample_many(each, rng, bound)
            mutants = (space.mutate(architecture, rng, bound) for architecture in samples)
            wild = space.sample_many(each, rng, loose)
            repairs = (space.repair(architecture, bound, rng) for architecture in wild)
            for kind, found in (("samples", samples), ("mutations", mutants), ("repairs", repairs)):
                broken[kind] += sum(not bound.admits(_costed(space, architecture)) for architecture in found)
        _print(what="budget", space=name, of_each=each * len(bounds), broken=broken, seconds=round(time.perf_counter() - start))


class _Costed:
    def __init__(self, figures: tuple[float, float, float]) -> None:
        self.flops, self.parameters, self.memory = figures


def _costed(space: Any, architecture: Architecture) -> _Costed:
    return _Costed(space._figures(architecture.values_tuple, space.image_size, architecture.in_channels, architecture.classes))


def infeasible(options: argparse.Namespace) -> None:
    """Random joint budgets around the smallest reachable costs and far above them, at random image sizes."""
    for name in options.spaces:
        rng = np.random.default_rng(2)
        outcomes = {"sampled": 0, "proven impossible": 0}
        slowest, uses = 0.0, []
        for _ in range(200):
            space = get_space(name, image_size=int(rng.choice((32, 64, 96, 224))))
            least = space.smallest()
            chosen = [bound for bound in least if rng.random() < 0.6] or ["flops"]
            wanted = Budget(**{bound: least[bound] * 10 ** rng.uniform(-0.3, 2.5) for bound in chosen})
            start = time.perf_counter()
            try:
                found = space.sample(rng, wanted, fill=True)
                uses.append(wanted.use(space.cost(found)))
                assert uses[-1] <= 1
                outcomes["sampled"] += 1
            except BudgetInfeasibleError as error:
                outcomes["proven impossible"] += error.smallest == least
            slowest = max(slowest, time.perf_counter() - start)
        _print(
            what="infeasible",
            space=name,
            **outcomes,
            slowest_seconds=round(slowest, 3),
            median_use=round(float(np.median(uses)), 4),
        )


def keys(options: argparse.Namespace) -> None:
    """Pairs: an architecture with a synonym, with a mutant, with another sample."""
    for name in options.spaces:
        space, rng = get_space(name, image_size=32), np.random.default_rng(3)
        limit = Budget(flops=20 * space.smallest()["flops"])
        agree = same = 0
        for pair in range(options.n):
            first = space.sample(rng, limit)
            second = (_synonym, _mutant, _other)[pair % 3](space, first, rng)
            graphs = repr(space.build(first)) == repr(space.build(second))
            agree += graphs == (first.key == second.key)
            same += graphs
        _print(what="keys", space=name, pairs=options.n, same_network=same, agree=agree)


def _synonym(space: SearchSpace, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    active = space.active(architecture)
    drawn = {name: options[rng.integers(len(options))] for name, options in space.decisions.items()}
    return space.architecture({name: architecture[name] if name in active else drawn[name] for name in space.decisions})


def _mutant(space: SearchSpace, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    return space.mutate(architecture, rng)


def _other(space: SearchSpace, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    return space.sample(rng, Budget(flops=20 * space.smallest()["flops"]))


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def _append(row: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _print(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def main() -> None:
    """Read the command line and run one of the measurements."""
    parts = {"exact": exact, "speed": speed, "budget": budget, "infeasible": infeasible, "keys": keys}
    counts = {"exact": 1000, "budget": 100_000, "keys": 2000}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--spaces", type=lambda text: text.split(","), default=["pepx", "mbconv", "fire"])
    parser.add_argument("--n", type=int)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[32, 48, 97])
    options = parser.parse_args()
    options.n = options.n or counts.get(options.part, 0)
    parts[options.part](options)


if __name__ == "__main__":
    main()
