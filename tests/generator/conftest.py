"""Fixtures of the generator's tests."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from generator_small_space import small_space, smooth_score

from search_spaces import DecisionSpace


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
