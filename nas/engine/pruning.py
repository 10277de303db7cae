"""Successive halving over epochs that lets the first candidates finish: a rung's half means little while few have reached it."""

from __future__ import annotations

from typing import Any, cast

from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.engine.study import LOST

START = 3  # candidates that finish before any is pruned


class LateHalving(BasePruner):
    """Asynchronous successive halving (Li et al. 2020), in force once ``start`` candidates have completed.

    Args:
        first: the first rung, in epochs; further rungs at twice, four times, … as many.
    """

    def __init__(self, first: int, start: int = START) -> None:
        self._halving = SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
        self._start = start

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end the trial at the rung it has reached."""
        below = self._halving.prune(cast(Study, _WithoutLost(study)), trial)  # always asked: it is what records a trial's rungs
        completed = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        return below and completed >= self._start


class _WithoutLost:
    """A study without the trials whose workers died: each is there again as its retry, and must not compete twice."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, *arguments: Any, **options: Any) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(*arguments, **options) if LOST not in trial.user_attrs]


def make_pruner(epochs: int, enabled: bool) -> BasePruner:
    """The pruner of a search whose trials train for ``epochs``: the first rung at a third of them."""
    return LateHalving(max(1, round(epochs / 3))) if enabled and epochs > 1 else NopPruner()
