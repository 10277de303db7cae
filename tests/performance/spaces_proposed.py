"""What is proposed: budgets kept, impossible ones proven, damaged files refused, and how fast."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis

from search_spaces import Architecture, ArchitectureError, Budget, BudgetInfeasibleError, get_space, load_architecture
from search_spaces.budget import BOUNDS
from search_spaces.networked import NetworkSpace
from tests.search_spaces.spaces_under_test import SIZE, every_point, figures, reduced

Row = dict[str, Any]
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)  # budgets between the smallest and the largest, on a log scale
_SIZE = 64
_READINGS = 7
_STRAY: tuple[Any, ...] = (None, True, -1, 0, 2.5, 1e400, 10**30, "", "pepx", [], [1], {}, {"a": 1})


def _space(name: str, size: int = _SIZE) -> NetworkSpace:
    space = get_space(name, image_size=size)
    assert isinstance(space, NetworkSpace)
    return space


def _budget(space: NetworkSpace, share: float) -> Budget:
    low, high = space.smallest()["flops"], space.largest()["flops"]
    return Budget(flops=low * (high / low) ** share)


def within(name: str, share: float, n: int) -> Row:
    """n samples, mutations of them, and repairs of larger networks, under one budget: how many there were and break it."""
    space, rng = _space(name), np.random.default_rng([round(100 * share), 1])
    budget = _budget(space, share)
    samples = space.sample_many(n, rng, budget)
    wild = space.sample_many(n, rng, _budget(space, 0.7))
    found = {
        "samples": samples,
        "mutations": [space.mutate(architecture, rng, budget) for architecture in samples],
        "repairs": [space.repair(architecture, budget, rng) for architecture in wild],
    }
    broken = {kind: sum(not budget.admits(space.cost(one)) for one in many) for kind, many in found.items()}
    return {"of each": n, "over": broken, "distinct samples": len({one.key for one in samples})}


def within_total(rows: list[Row]) -> Row:
    """Sums over the budgets."""
    over = {kind: sum(row["over"][kind] for row in rows) for kind in ("samples", "mutations", "repairs")}
    return {"of each": sum(row["of each"] for row in rows), "over the budget": over, "budgets": len(rows)}


def proofs(name: str, n: int) -> Row:
    """Random joint budgets on the space at random sizes (sampled, filled, or impossible), and on a reduced one against all points."""
    rng, outcomes, uses, slowest = np.random.default_rng(2), {"sampled": 0, "impossible": 0}, [], 0.0
    for _ in range(n):
        space = _space(name, int(rng.choice((32, 64, 96, 224))))
        least = space.smallest()
        wanted = _bounds(least, 10 ** rng.uniform(-0.3, 2.5, len(least)), rng)
        start = time.perf_counter()
        try:
            found = space.sample(rng, wanted, fill=True)
        except BudgetInfeasibleError as error:
            outcomes["impossible"] += error.smallest == least
        else:
            assert wanted.admits(space.cost(found))
            uses.append(wanted.use(space.cost(found)))
            outcomes["sampled"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    return {
        **outcomes,
        "median use": round(float(np.median(uses)), 4),
        "smallest use": round(min(uses), 4),
        "slowest seconds": round(slowest, 3),
        "reduced": _enumerated(name, n, rng),
    }


def _enumerated(name: str, n: int, rng: np.random.Generator) -> Row:
    """Random budgets near the edge of a space small enough to list: each answer against all points."""
    space = reduced(name)
    points = np.array([figures(space, values) for values in every_point(space)])
    least = dict(zip(BOUNDS, points.min(axis=0).tolist(), strict=True))
    row: Row = {"points": len(points), "possible": 0, "impossible": 0, "wrong": 0}
    for _ in range(n):
        wanted = _bounds(least, rng.uniform(0.95, 1.6, len(least)), rng)
        possible = any(wanted.admits_figures(*point) for point in points.tolist())
        try:
            right = wanted.admits(space.cost(space.sample(rng, wanted), SIZE)) and possible
        except BudgetInfeasibleError as error:
            right = error.smallest == least and not possible
        row["possible" if possible else "impossible"] += 1
        row["wrong"] += not right
    return row


def _bounds(least: dict[str, float], factors: np.ndarray, rng: np.random.Generator) -> Budget:
    """Some of the three bounds (FLOPs if none is drawn), each its smallest reachable cost times a factor."""
    chosen = {bound: value * factor for (bound, value), factor in zip(least.items(), factors.tolist(), strict=True)}
    drawn = [bound for bound in chosen if rng.random() < 0.6] or ["flops"]
    return Budget(**{bound: chosen[bound] for bound in drawn})


def fuzzed(name: str, n: int) -> Row:
    """Architecture files with one to three damages: read back as they were, read as another point, or refused."""
    space, rng = _space(name), np.random.default_rng(4)
    row = {"read": 0, "refused": 0}
    for architecture in space.sample_many(n, rng, _budget(space, 0.3)):
        document = json.loads(json.dumps(architecture.to_json()))
        assert load_architecture(document).to_json() == architecture.to_json()
        for _ in range(rng.integers(1, 4)):
            _damage(document if rng.random() < 0.4 else document.get("choices"), rng)
        try:
            read = load_architecture(json.loads(json.dumps(document)))
        except ArchitectureError:
            row["refused"] += 1
        else:
            row["read"] += 1
            assert load_architecture(read.to_json()) == read
    return row


def _damage(place: Any, rng: np.random.Generator) -> None:
    """Change, drop or add one entry."""
    if not isinstance(place, dict) or not place:
        return
    name = list(place)[rng.integers(len(place))]
    stray = deepcopy(_STRAY[rng.integers(len(_STRAY))])
    match rng.integers(4):
        case 0:
            place[name] = stray
        case 1:
            place[name] = deepcopy(list(place.values())[rng.integers(len(place))])
        case 2:
            del place[name]
        case _:
            place[f"{name}?"] = stray


def speed(name: str, n: int) -> Row:
    """Processor seconds: proposals a second at each budget, and fvcore's time over the analytic cost's."""
    space, rng = _space(name), np.random.default_rng(0)
    rates = {}
    for share in SHARES:
        budget = _budget(space, share)
        space.sample_many(2000, rng, budget)  # warm: what a space remembers of its blocks is part of it
        single = _rate(lambda n, budget=budget: sum(space.sample(rng, budget) is not None for _ in range(n)), n)  # type: ignore[misc]
        many = _rate(lambda n, budget=budget: len(space.sample_many(n, rng, budget)), 5 * n)  # type: ignore[misc]
        rates[f"{budget.flops:,.0f} FLOPs"] = {"singly": single, "sample_many": many}
    slowest = {
        kind: {which: min(rate[kind][which] for rate in rates.values()) for which in ("best", "median")}
        for kind in ("singly", "sample_many")
    }
    return {"slowest, a second": slowest, "a second": rates, "analytic cost": _against_fvcore(space, rng)}


def _rate(work: Callable[[int], int], n: int) -> dict[str, int]:
    """The best of seven, as ``timeit`` advises (a slower reading is the machine's doing), and the median beside it."""
    rates = []
    for _ in range(_READINGS):
        start = time.process_time()
        assert work(n) == n
        rates.append(n / (time.process_time() - start))
    return {"best": round(max(rates)), "median": round(statistics.median(rates))}


def _against_fvcore(space: NetworkSpace, rng: np.random.Generator) -> Row:
    """Networks new to a space in use, which knows the makes of its blocks but not these: the first time, and again."""
    chosen = [architecture for share in SHARES for architecture in space.sample_many(5, rng, _budget(space, share * 0.5))]
    fresh = _space(space.name)
    for architecture in space.sample_many(300, rng):
        fresh.cost(architecture)
    traced = first = again = 0.0
    gc.collect()
    gc.disable()  # as timeit does: what tracing leaves behind is collected on nobody's time
    for architecture in chosen:
        with torch.device("meta"):
            model = space.build(architecture)
        model = model.to_empty(device="cpu").eval()
        analysis = FlopCountAnalysis(model, torch.zeros(1, 1, _SIZE, _SIZE))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        traced += _seconds(analysis.total)
    for architecture in chosen:  # together, as a search asks: tracing a network just before leaves the processor's caches empty
        first += _seconds(lambda architecture=architecture: fresh.cost(architecture))  # type: ignore[misc]
        again += _seconds(lambda architecture=architecture: _cost_twenty_times(fresh, architecture)) / 20  # type: ignore[misc]
    gc.enable()
    return {
        "networks": len(chosen),
        "fvcore ms": round(1e3 * traced / len(chosen), 2),
        "cost µs, a new network": round(1e6 * first / len(chosen), 1),
        "cost µs, again": round(1e6 * again / len(chosen), 1),
        "ratio, a new network": round(traced / first),
        "ratio, again": round(traced / again),
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _cost_twenty_times(space: NetworkSpace, architecture: Architecture) -> None:
    for _ in range(20):
        space.cost(architecture)
