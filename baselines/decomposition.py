"""DeTraC's class decomposition and composition (Abbas, Abdelsamea, Gaber, 2020): each class split into sub-classes by k-means.

Sub-classes are numbered so that the class is the integer quotient: with ``s`` sub-classes a class, sub-class ``j`` of class
``c`` is ``c·s + j``, and composition is ``index // s``. ``s`` is ``k ** depth``; a class with fewer different images than
clusters leaves some of its numbers unused.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn

from search_spaces.errors import InputError

Features = NDArray[np.float64]
Labels = NDArray[np.int64]
UNUSED = -1e4  # score of a sub-class that no training image belongs to


def principal_components(features: Features, share: float = 0.95) -> Features:
    """The components, (n, c), that explain at least ``share`` of the variance; unchanged where there is no variance.

    Rows that are alike stay so to the last digit: by rounding alone they would count as different images.
    """
    if len(features) < 2 or float(features.var(axis=0).sum()) == 0.0:
        return features
    _, first, same = np.unique(features, axis=0, return_index=True, return_inverse=True)
    return PCA(n_components=share, svd_solver="full").fit_transform(features)[first][same.ravel()]


def split(features: Features, k: int, depth: int, seed: int) -> Labels:
    """Sub-class of each row, (n,) in 0..k**depth − 1: k-means, repeated inside each cluster ``depth`` times.

    A cluster with fewer different rows than ``k`` is split into as many as it has.
    """
    if depth == 0 or len(features) == 0:
        return np.zeros(len(features), dtype=np.int64)
    clusters = min(k, len(np.unique(features, axis=0)))
    if clusters == 1:
        found = np.zeros(len(features), dtype=np.int64)
    else:
        found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(features).astype(np.int64)
        found = by_first_appearance(found)
    labels = np.zeros(len(features), dtype=np.int64)
    for cluster in range(clusters):
        rows = np.flatnonzero(found == cluster)
        labels[rows] = cluster * k ** (depth - 1) + split(features[rows], k, depth - 1, seed)
    return labels


def by_first_appearance(labels: Labels) -> Labels:
    """The same partition, numbered in the order in which the rows first show each cluster: k-means numbers at random."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse].astype(np.int64)


def decompose(
    features: Features, labels: Labels, classes: int, *, k: int = 2, depth: int = 1, reduce: bool = True, seed: int = 0
) -> Labels:
    """Sub-class of every image, (n,) in 0..classes·k**depth − 1.

    Args:
        features: (n, f) of training images only; fitting them on any other image leaks.
        labels: (n,) in 0..classes − 1.
        reduce: principal components first (as the paper tells); False clusters raw features (as the public code does).

    Raises:
        InputError: ``k`` below 2 or ``depth`` below 1.
    """
    if k < 2 or depth < 1:
        raise InputError(f"decomposition needs k ≥ 2 and depth ≥ 1, but got k = {k}, depth = {depth}")
    result = np.zeros(len(labels), dtype=np.int64)
    for number in range(classes):
        rows = np.flatnonzero(labels == number)
        own = features[rows].astype(np.float64)
        result[rows] = number * k**depth + split(principal_components(own) if reduce else own, k, depth, seed)
    return result


class Composed(nn.Module):
    """A network over sub-classes that answers in classes.

    In training mode it returns the sub-class logits, (N, classes·per_class); in evaluation mode a class scores as its best
    sub-class, (N, classes), so that the predicted class is exactly the predicted sub-class divided by ``per_class``.
    ``used`` says which sub-classes have training images; the others never win.
    """

    used: Tensor

    def __init__(self, net: nn.Module, classes: int, per_class: int) -> None:
        super().__init__()
        self.net = net
        self.classes = classes
        self.per_class = per_class
        self.register_buffer("used", torch.ones(classes * per_class, dtype=torch.bool))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        if self.training:
            return logits
        possible = logits.masked_fill(~self.used, UNUSED)
        return possible.unflatten(1, (self.classes, self.per_class)).amax(dim=2)
