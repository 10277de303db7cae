"""The search's objective and other scores of logits, in numpy: cheap enough to be computed after every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nas.statistics import intervals
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.records import Metric

Floats = NDArray[np.float64]
FLOOR = 1e-7  # smallest probability that a log-loss sees: one confident mistake costs at most 16.1


def probabilities(logits: ArrayLike) -> Floats:
    """Softmax over the classes, float64 (n, classes)."""
    return special.softmax(np.asarray(logits, dtype=np.float64), axis=1)


def image_losses(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """−log p(true class) of each image, (n,), with p at least 1e-7."""
    truth = np.asarray(labels)
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(truth):
        raise InputError(f"logits must be (n, classes) for n = {len(truth)} labels, but got {scores.shape}")
    chosen = special.log_softmax(scores, axis=1)[np.arange(len(truth)), truth]
    return np.minimum(-chosen, -np.log(FLOOR))


def quality(logits: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Class-balanced log-loss (each class weighs the same; lower is better) and its standard error over images.

    The default objective of a search: it uses every image's confidence, so it is far less noisy than accuracy.
    """
    truth = np.asarray(labels)
    losses = image_losses(logits, truth)
    means, variances = [], []
    for name in np.unique(truth):
        own = losses[truth == name]
        means.append(own.mean())
        variances.append(own.var(ddof=1) / len(own) if len(own) > 1 else own.mean() ** 2)
    return float(np.mean(means)), float(np.sqrt(np.sum(variances)) / len(means))


def objective(name: str, logits: ArrayLike, labels: ArrayLike, scores: Sequence[Metric]) -> tuple[float, float | None]:
    """The objective called ``name`` of a network's predictions, lower is better, and its standard error.

    Args:
        logits: (n, classes). labels: (n,).
        scores: ``metrics`` of these predictions; a score's standard error is what its interval says of it, groups included.
    """
    if name == "log_loss":
        return quality(logits, labels)
    score = next(metric for metric in scores if metric.name == name)
    error = None if score.interval is None else intervals.implied_error(score.interval)
    return objective_value(name, {name: score.value}), error


def objective_value(name: str, figures: Mapping[str, float | None]) -> float:
    """The objective called ``name``, lower is better, from figures by their names: an epoch's, or those of ``metrics``.

    The log-loss itself, or one minus a score; what could not be computed counts as the worst.
    """
    value = figures.get(name)
    if name == "log_loss":
        return float("inf") if value is None else value
    return 1.0 - (value or 0.0)


def balanced_accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean sensitivity over the classes that occur."""
    truth = np.asarray(labels)
    right = np.asarray(logits).argmax(axis=1) == truth
    return float(np.mean([right[truth == name].mean() for name in np.unique(truth)]))
