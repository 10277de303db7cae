"""The control of a search: as many candidates by random search, on the same data, and the paired difference."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
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
    from nas.statistics.paired import Difference


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

    The difference is of what the search goes by (class-balanced log-loss, AUROC or balanced accuracy) on the same validation
    images, paired, with an interval over groups. It speaks about these two networks; how the strategies differ over many
    searches takes many seeds.

    Args:
        trials: the search's, as ``trained`` picks them.
        run: runs the trials of a context and returns the study.
    """
    from nas.engine.study import trial_records
    from nas.statistics.paired import conclude

    control = _control_context(context, len(trials))
    others = trained(trial_records(run(control)))
    any_completed = any(trial.quality is not None for trial in others)
    first, second, metric = "search", "random search", context.settings.objective
    found = _difference(context, _logits(context, best(trials)), _logits(control, best(others))) if any_completed else None
    if found is None:
        return Comparison(
            first=first,
            second=second,
            metric=metric,
            difference=None,
            interval=None,
            conclusion="not compared",
            note="images of one class only" if any_completed else "no control trial completed",
        )
    higher = metric != "log_loss"
    return Comparison(
        first=first,
        second=second,
        metric=metric,
        difference=found.difference,
        interval=found.interval,
        p_value=found.p_value,
        conclusion=conclude(found, higher_is_better=higher),
        test=found.test,
        note=f"best of {len(trials)} against best of {len(others)} candidates, one search each; {'higher' if higher else 'lower'} is better",
    )


def _difference(context: Context, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Difference | None:
    """Ours − theirs in the figure that the search goes by, from logits (n, classes) on validation; None: an AUROC of one class."""
    from nas.evaluation.quality import image_losses, probabilities
    from nas.statistics.paired import Difference, balanced_accuracy_difference, mean_difference
    from nas.statistics.ranking import compare_macro_auc

    settings, held_out = context.settings, context.parts.validation
    labels, groups = context.dataset.labels[held_out], context.dataset.group[held_out]
    if settings.objective == "auroc":
        if len(np.unique(labels)) < 2:
            return None
        areas = compare_macro_auc(probabilities(ours), probabilities(theirs), labels, groups)
        return Difference(areas.difference, areas.interval, areas.p_value, areas.interval.method)
    if settings.objective == "balanced_accuracy":
        predicted, rng = (ours.argmax(axis=1), theirs.argmax(axis=1)), np.random.default_rng(settings.seed)
        return balanced_accuracy_difference(*predicted, labels, ours.shape[1], groups, rng=rng)
    weights = _balance(labels)
    return mean_difference(image_losses(ours, labels) * weights, image_losses(theirs, labels) * weights, groups)


def trained(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that count as candidates: of two arms as many are trained, whatever each of them prunes."""
    return [trial for trial in trials if trial.outcome in ("completed", "pruned")]


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
