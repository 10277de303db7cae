"""Does anything but disease tell the classes apart? Sources, views, and single trivial features, measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset
from nas.data.features import NAMES, cross_validated, sample_of_groups, score, trivial_features
from nas.data.listing import clean
from nas.records import Metric
from nas.statistics.ranking import auc, auc_interval

STRONG_ASSOCIATION = 0.3  # Cramér's V from which a column is called confounded with the class
STRONG_AREA = 0.75
_ABOVE_CHANCE = 0.10
_COLUMNS = ("sex", "age_group", "modality", "burned_in_annotation")


def association(labels: NDArray[np.int64], column: Sequence[Any] | NDArray) -> float | None:
    """Cramér's V between class and a column, bias-corrected (Bergsma 2013): 0 independent, 1 the column gives the class away; None when
    either has one value only."""
    _, other = np.unique(np.asarray(column).astype(np.str_), return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    n, r, k = len(labels), int(other.max(initial=0)) + 1, len(classes)
    if r < 2 or k < 2:
        return None
    table = np.bincount(other * k + label, minlength=r * k).reshape(r, k).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = max(0.0, float(((table - expected) ** 2 / expected).sum()) / n - (r - 1) * (k - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return round(min(1.0, (phi2 / smaller) ** 0.5), 4) if smaller > 0 else None


def source_association(dataset: Dataset) -> float | None:
    """``association`` of class and source."""
    return association(dataset.labels, dataset.source)


def confounding(dataset: Dataset) -> tuple[Metric, list[str]]:
    """How well the seven trivial features predict the class (group cross-validated balanced accuracy), and warnings in sentences: on
    the features together, the strongest of them, and on source, view and sex."""
    chosen = sample_of_groups(dataset)
    features, labels, group = trivial_features(dataset, chosen), dataset.labels[chosen], dataset.group[chosen]
    found = cross_validated(features, labels, group, len(dataset.classes))
    if found is None:
        metric = Metric(
            name="balanced_accuracy", value=None, n=len(chosen), groups=len(np.unique(group)), part="cross-validated",
            note="a class has fewer than two groups",
        )  # fmt: skip
    else:
        note = f"seven trivial features ({', '.join(NAMES)}); chance {1 / len(np.unique(labels)):.2f}"
        metric = score("", found, dataset, chosen, "cross-validated", note)[0]
    return metric, [
        *_together(dataset, metric),
        *_strongest(dataset, features, labels, group),
        *_source(dataset),
        *_columns(dataset),
    ]


def _together(dataset: Dataset, trivial: Metric) -> list[str]:
    chance = 1 / max(1, len(np.unique(dataset.labels)))
    interval = trivial.interval
    if trivial.value is None or interval is None or interval.low <= chance or trivial.value <= chance + _ABOVE_CHANCE:
        return []
    return [
        f"confounded: seven trivial features (brightness, border, size, …) predict the class with balanced accuracy "
        f"{trivial.value:.2f} [{interval.low:.2f}, {interval.high:.2f}] where chance is {chance:.2f}; "
        "a network that does not clearly beat this has shown nothing about disease"
    ]


def _strongest(
    dataset: Dataset, features: NDArray[np.float64], labels: NDArray[np.int64], group: NDArray[np.str_]
) -> list[str]:
    """The three single features that tell one class from the rest best, each with that class, where they do.

    The best of many is high by chance: the intervals are widened (Bonferroni) to hold for all comparisons at once, and one that
    contains 0.5 says nothing.
    """
    classes = np.unique(labels)
    sides = classes if len(classes) > 2 else classes[1:]  # of two classes, one told apart is both
    if not len(sides) or len(np.unique(group)) < 2:
        return []
    level = 1 - 0.05 / (len(NAMES) * len(sides))
    best: dict[str, tuple[float, str]] = {}
    for c in sides:
        positive = labels == c
        for name, values in zip(NAMES, features.T, strict=True):
            turned = values if auc(values, positive) >= 0.5 else -values
            area, interval = auc(turned, positive), auc_interval(turned, positive, group, level)
            told = f"{name} tells {clean(dataset.classes[c])} from the rest (AUC {area:.2f} [{interval.low:.2f}, {interval.high:.2f}])"
            if area >= STRONG_AREA and interval.low > 0.5:
                best[name] = max(best.get(name, (0.0, "")), (area, told))
    strong = "; ".join(told for _, told in sorted(best.values(), reverse=True)[:3])
    size = f"n = {len(labels)} images, {len(np.unique(group))} groups; 95 % intervals for all {len(NAMES) * len(sides)} comparisons at once"
    return [f"by itself, {strong}; {size}"] if strong else []


def _source(dataset: Dataset) -> list[str]:
    strength = source_association(dataset)
    if strength is None or strength <= STRONG_ASSOCIATION:
        return []
    alone = [clean(name) for c, name in enumerate(dataset.classes) if len(np.unique(dataset.source[dataset.labels == c])) == 1]
    return [
        f"class and source go together (Cramér's V {strength:.2f}): a network can tell the hospital instead of the disease"
        + (f"; from one source only: {', '.join(alone)}" if alone else "")
    ]


def _columns(dataset: Dataset) -> list[str]:
    columns = {"view": dataset.view, **{name: dataset.metadata[name] for name in _COLUMNS if name in dataset.metadata}}
    found = []
    for name, column in columns.items():
        known = column != ""
        strength = association(dataset.labels[known], column[known]) if known.sum() >= len(dataset) / 2 else None
        if strength is not None and strength > STRONG_ASSOCIATION:
            found.append(f"class and {name.replace('_', ' ')} go together (Cramér's V {strength:.2f})")
    return found
