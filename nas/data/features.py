"""What can be told without looking at the lungs: seven trivial features of every image, and how well they predict the class.

A network that is not clearly better than these has learnt nothing about disease that its score would prove.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, Indices
from nas.records import Metric
from nas.statistics.intervals import class_mean
from nas.statistics.ranking import macro_auc, macro_auc_interval

NAMES = ("brightness", "contrast", "dark border", "bright border", "sharpness", "aspect", "native size")
_BORDER = 0.03  # share of the side; the frame in which markers, collimation and padding show
_DARK, _BRIGHT = 8, 247
_CHUNK = 16  # images at a time: their floats stay in the processor's cache (measured 4 times faster than 512)
_MAX_IMAGES = 3_000  # the summary's cross-validation is an estimate, not a model: more images change its third digit
Floats = NDArray[np.float64]


def trivial_features(dataset: Dataset, indices: Indices | None = None) -> Floats:
    """The seven features of ``NAMES``, float64 (n, 7): mean and deviation of the grey values (in 0..1), shares of near-black and
    near-white pixels in the outer 3 % frame, mean absolute gradient, and log aspect ratio and log side of the native image."""
    chosen = np.arange(len(dataset)) if indices is None else np.asarray(indices)
    blocks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
    pixels = [_pixel_features(dataset.images[block, 0]) for block in blocks]
    height, width = np.maximum(dataset.native_size[chosen], 1).astype(np.float64).T
    geometry = np.stack([np.log(height / width), 0.5 * np.log(height * width)], axis=1)
    return np.concatenate([np.concatenate(pixels) if pixels else np.zeros((0, 5)), geometry], axis=1)


def _pixel_features(images: NDArray[np.uint8]) -> Floats:
    side = images.shape[1]
    width = max(1, round(_BORDER * side))
    frame = np.ones((side, side), dtype=bool)
    frame[width : side - width, width : side - width] = False
    border = images[:, frame]
    values = images.astype(np.float32) / 255
    gradient = np.abs(np.diff(values, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(values, axis=2)).mean(axis=(1, 2))
    shares = ((border < _DARK).mean(axis=1), (border > _BRIGHT).mean(axis=1))
    return np.stack([values.mean(axis=(1, 2)), values.std(axis=(1, 2)), *shares, gradient], axis=1).astype(np.float64)


def boosted_trees(x: Floats, y: NDArray[np.int64], new: Floats, classes: int) -> Floats:
    """Class probabilities (n, classes) for ``new`` from small boosted trees, classes weighted equally; deterministic."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_bins=63,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        early_stopping=False,
        class_weight="balanced",
        random_state=0,
    )
    return _probabilities(model, x, y, new, classes)


def logistic(x: Floats, y: NDArray[np.int64], new: Floats, classes: int) -> Floats:
    """Class probabilities (n, classes) for ``new`` from a regularised logistic model on standardised columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    return _probabilities(model, x, y, new, classes)


def _probabilities(model: Any, x: Floats, y: NDArray[np.int64], new: Floats, classes: int) -> Floats:
    """Fit and predict; classes that training lacks get probability 0, one class alone gets 1."""
    present = np.unique(y)
    full = np.zeros((len(new), classes))
    if len(present) == 1:
        full[:, present[0]] = 1.0
        return full
    from threadpoolctl import threadpool_limits

    # The work is cut so fine that several threads mostly wait for one another: on a busy machine a second becomes minutes.
    with threadpool_limits(limits=1):
        full[:, present] = model.fit(x, y).predict_proba(new)
    return full


def cross_validated(
    features: Floats,
    labels: NDArray[np.int64],
    group: NDArray[np.str_],
    classes: int,
) -> Floats | None:
    """Out-of-fold class probabilities (n, classes), folds grouped and stratified; None when a class has fewer than two groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    counts = [len(np.unique(group[labels == c])) for c in np.unique(labels)]
    folds = min(5, *counts) if len(counts) > 1 else 0
    if folds < 2:
        return None
    found = np.zeros((len(labels), classes))
    for train, held in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(features, labels, group):
        found[held] = boosted_trees(features[train], labels[train], features[held], classes)
    return found


def score(name: str, probabilities: Floats, dataset: Dataset, indices: Indices, part: str, note: str) -> tuple[Metric, ...]:
    """Balanced accuracy and macro AUROC of ``probabilities`` (n, classes) on images ``indices``, with grouped intervals."""
    labels, group = dataset.labels[indices], dataset.group[indices]
    shared = {"n": len(labels), "groups": len(np.unique(group)), "part": part, "note": note}
    return (
        _balanced_accuracy(f"{name}balanced_accuracy", probabilities.argmax(axis=1), labels, group, shared),
        _area(f"{name}auroc", probabilities, labels, group, shared),
    )


def _balanced_accuracy(
    name: str, predicted: NDArray[np.int64], labels: NDArray[np.int64], group: NDArray, shared: dict
) -> Metric:
    present = np.unique(labels)
    if len(present) < 2:
        return Metric(name=name, value=None, **{**shared, "note": "fewer than two classes"})
    right = predicted == labels
    value = float(np.mean([right[labels == name].mean() for name in present]))
    interval = class_mean(right, labels, group) if shared["groups"] >= 2 else None
    return Metric(name=name, value=value, interval=interval, **shared)


def _area(name: str, probabilities: Floats, labels: NDArray[np.int64], group: NDArray, shared: dict) -> Metric:
    if len(np.unique(labels)) < probabilities.shape[1]:
        return Metric(name=name, value=None, **{**shared, "note": "a class is missing"})
    return Metric(
        name=name, value=macro_auc(probabilities, labels), interval=macro_auc_interval(probabilities, labels, group), **shared
    )


def trivial_control(dataset: Dataset, train_idx: Indices, test_idx: Indices, *, part: str = "test") -> tuple[Metric, ...]:
    """The control that every trained network is printed beside: the seven features, fitted on one part, scored on another.

    Returns:
        Metrics ``balanced_accuracy`` and ``auroc`` (macro, one-vs-rest) with intervals over groups.
    """
    train, test = trivial_features(dataset, train_idx), trivial_features(dataset, test_idx)
    probabilities = boosted_trees(train, dataset.labels[train_idx], test, len(dataset.classes))
    return score("", probabilities, dataset, np.asarray(test_idx), part, "control: seven trivial features, no lungs looked at")


def sample_of_groups(dataset: Dataset) -> Indices:
    """All images, or those of randomly drawn groups until there are about 3,000: enough to measure confounding on."""
    if len(dataset) <= _MAX_IMAGES:
        return np.arange(len(dataset), dtype=np.int64)
    names, group = np.unique(dataset.group, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(names))
    sizes = np.bincount(group, minlength=len(names))[order]
    drawn = np.zeros(len(names), dtype=bool)
    drawn[order[: max(2, int(np.searchsorted(sizes.cumsum(), _MAX_IMAGES)))]] = True
    return np.nonzero(drawn[group])[0].astype(np.int64)
