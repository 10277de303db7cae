"""The control of a search: as many candidates by random search, on the same data, and the paired difference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.engine.directory import RunDirectory
from nas.engine.progress import Progress, Silent
from nas.files import make_folder
from nas.records import Accounting, Comparison, TrialRecord

if TYPE_CHECKING:
    import optuna

    from nas.engine.context import Context


class ControlProgress(Silent):
    """What is told of a control: how many are done, in messages, so that no display counts them as the search's own."""

    def __init__(self, progress: Progress, trials: int) -> None:
        self._progress, self._trials, self._done = progress, trials, 0

    def accounting(self, counts: Accounting) -> None:
        """As ``Progress``."""
        done = counts.completed + counts.pruned
        if done > self._done:
            self._done = done
            self._progress.message(f"control: {done} of {self._trials} done")

    def message(self, text: str) -> None:
        """As ``Progress``."""
        self._progress.message(f"control: {text}")


def random_control(context: Context, trials: list[TrialRecord], run: Callable[[Context], optuna.Study]) -> Comparison:
    """Train as many distinct candidates by random search in ``control/`` and compare the two arms' best validated ones.

    The difference is of class-balanced log-loss on the same validation images, paired, with an interval over groups. It speaks
    about these two networks; how the strategies differ over many searches takes many seeds.

    Args:
        trials: the search's completed trials.
        run: runs the trials of a context and returns the study.
    """
    from nas.engine.study import trial_records
    from nas.evaluation.quality import image_losses
    from nas.statistics.paired import conclude, mean_difference

    control = _control_context(context, len(trials))
    others = [t for t in trial_records(run(control)) if t.outcome == "completed" and t.quality is not None]
    first, second, metric = "search", "random search", "log_loss"
    if not others:
        return Comparison(
            first=first,
            second=second,
            metric=metric,
            difference=None,
            interval=None,
            conclusion="not compared",
            note="no control trial completed",
        )
    held_out = context.parts.validation
    labels = context.dataset.labels[held_out]
    weights = _balance(labels)
    ours = image_losses(_logits(context, best(trials)), labels) * weights
    theirs = image_losses(_logits(control, best(others)), labels) * weights
    found = mean_difference(ours, theirs, context.dataset.group[held_out])
    return Comparison(
        first=first,
        second=second,
        metric=metric,
        difference=found.difference,
        interval=found.interval,
        p_value=found.p_value,
        conclusion=conclude(found, higher_is_better=False),
        test=found.test,
        note=f"best of {len(trials)} against best of {len(others)} candidates, one search each; lower is better",
    )


def best(trials: list[TrialRecord]) -> TrialRecord:
    """The best validated trial."""
    return min(trials, key=lambda trial: float("inf") if trial.quality is None else trial.quality)


def _control_context(context: Context, count: int) -> Context:
    directory = RunDirectory(context.directory.path / "control")
    settings = context.settings.model_copy(
        update={"sampler": "random", "control": "none", "prototype": None, "trials": max(count, 1)}
    )
    make_folder(directory.path)
    shutil.copyfile(context.directory.parts, directory.parts)
    return replace(context, settings=settings, directory=directory)


def _balance(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights with mean 1 that give each class the same total."""
    counts = np.bincount(labels)
    return len(labels) / (np.count_nonzero(counts) * counts[labels])


def _logits(context: Context, trial: TrialRecord) -> NDArray[np.float32]:
    from nas.evaluation import load_candidate, predict_logits

    model = load_candidate(context.directory.trial(trial.key)).model
    return predict_logits(model, context.dataset.images[context.parts.validation], context.device)
