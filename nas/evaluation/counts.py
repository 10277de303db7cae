"""Figures that are functions of a confusion matrix, for many matrices at once (bootstrap draws)."""

from __future__ import annotations

import numpy as np

from nas.statistics.groups import Floats

RATIOS = ("sensitivity", "specificity", "ppv", "npv", "f1")


def cells(tables: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """True positives, false negatives, false positives, true negatives one-vs-rest, each (draws, classes).

    ``tables`` is (draws, classes²), rows of truth after one another.
    """
    k = round(tables.shape[1] ** 0.5)
    square = tables.reshape(-1, k, k)
    hits = square.diagonal(axis1=1, axis2=2)
    misses, alarms = square.sum(axis=2) - hits, square.sum(axis=1) - hits
    return hits, misses, alarms, square.sum(axis=(1, 2))[:, None] - hits - misses - alarms


def ratio(tables: Floats, name: str) -> Floats:
    """Sensitivity, specificity, PPV, NPV or F1 of each class, (draws, classes); NaN where it is not defined."""
    hits, misses, alarms, rest = cells(tables)
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "sensitivity":
            return hits / (hits + misses)
        if name == "specificity":
            return rest / (rest + alarms)
        if name == "ppv":
            return hits / (hits + alarms)
        if name == "npv":
            return rest / (rest + misses)
        return 2 * hits / (2 * hits + misses + alarms)


def macro(tables: Floats, name: str) -> Floats:
    """Mean of a ratio over the classes for which it is defined, (draws,); balanced accuracy is the macro sensitivity."""
    values = ratio(tables, name)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)


def accuracy(tables: Floats) -> Floats:
    """Top-1 accuracy, (draws,)."""
    return cells(tables)[0].sum(axis=1) / tables.sum(axis=1)


def mean_one_vs_rest_accuracy(tables: Floats) -> Floats:
    """Mean over the classes of (TP + TN) / n: what some papers call accuracy; for three classes it flatters by a third."""
    hits, _, _, rest = cells(tables)
    return ((hits + rest) / tables.sum(axis=1, keepdims=True)).mean(axis=1)


def matthews(tables: Floats) -> Floats:
    """Matthews' correlation for several classes (Gorodkin 2004), (draws,); 0 where one side does not vary."""
    k = round(tables.shape[1] ** 0.5)
    square = tables.reshape(-1, k, k)
    n, right = square.sum(axis=(1, 2)), square.trace(axis1=1, axis2=2)
    truth, called = square.sum(axis=2), square.sum(axis=1)
    above = right * n - (truth * called).sum(axis=1)
    below = np.sqrt((n**2 - (truth**2).sum(axis=1)) * (n**2 - (called**2).sum(axis=1)))
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
