"""Importance of decisions: finds the planted one, keeps noise below its line, knows when it knows nothing."""

from __future__ import annotations

import numpy as np
from report_factories import trial

from nas.report.importance import importances


def planted(n: int, seed: int, effect: float):
    """Trials whose quality depends on decision ``a`` only."""
    rng = np.random.default_rng(seed)
    base = [trial(0, rng)] * n
    codes = rng.integers(0, 3, size=(n, 12))
    quality = effect * codes[:, 0] + rng.normal(0, 1, n)
    trials = [
        one.model_copy(update={"number": i, "key": f"k{i}", "outcome": "completed", "quality": float(q)})
        for i, (one, q) in enumerate(zip(base, quality, strict=True))
    ]
    chosen = {f"k{i}": {f"d{j}": str(code) for j, code in enumerate(row)} for i, row in enumerate(codes)}
    return trials, {f"d{j}": ["0", "1", "2"] for j in range(12)}, chosen


def test_the_planted_decision_comes_first_and_clear_of_noise():
    found = importances(*planted(40, 0, 2.0))
    assert found.items[0].decision == "d0"
    assert found.items[0].share > max(found.noise, 0.5)
    assert found.items[0].correlation > 0.5  # later choices raise the loss


def test_noise_seldom_crosses_its_line():
    crossed = 0
    for seed in range(60):
        found = importances(*planted(24, seed, 0.0), shuffles=120)
        crossed += found.items[0].share > found.noise
    assert crossed <= 9  # 5 % nominal of 60; 9 is its 99.8 % point


def test_too_few_trials_say_nothing():
    assert importances(*planted(7, 0, 2.0)) is None


def test_decisions_that_never_varied_are_left_out():
    trials, orders, chosen = planted(20, 0, 1.0)
    fixed = {key: {**row, "d1": "0"} for key, row in chosen.items()}
    assert "d1" not in {item.decision for item in importances(trials, orders, fixed).items}
