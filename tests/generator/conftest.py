"""A small space with a smooth score, shared by the tests of the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest

from search_spaces import Budget, DecisionSpace

BUDGET = Budget(flops=14)


def small_space(decisions: int = 6) -> DecisionSpace:
    """Decisions d0, d1, … with choices 0–3; the cost is their sum."""
    return DecisionSpace(
        "small", {f"d{i}": (0, 1, 2, 3) for i in range(decisions)}, flops=lambda choice: float(1 + sum(choice.values()))
    )


def smooth_score(choice: Mapping[str, Any]) -> float:
    """Best where early decisions are large and late ones small; larger is better."""
    values = list(choice.values())
    return sum(value * (1.0 - 0.15 * place) for place, value in enumerate(values)) - 0.2 * sum(v * v for v in values[2:])


@pytest.fixture
def space() -> DecisionSpace:
    return small_space()


@pytest.fixture
def search() -> Callable[..., optuna.Study]:
    """Runs a search of the small space: (sampler, trials) → study."""

    def run(sampler: optuna.samplers.BaseSampler, trials: int, direction: str = "maximize") -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction=direction, sampler=sampler)
        space = small_space()
        sign = 1.0 if direction == "maximize" else -1.0
        study.optimize(lambda trial: sign * smooth_score(space.suggest(trial)), n_trials=trials)
        return study

    return run
