"""Who is in the data set: patients with one to three images each, classes balanced in every block of six images a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.data.phantom.draw import generators

_SIZES = ((1, 1, 1, 3), (1, 1, 2, 2))  # images of the four patients that a class has in a block
_PATIENTS = len(_SIZES[0])
_IMAGES = sum(_SIZES[0])


def roster(n: int, classes: int, seed: int, stream: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Patient and class of the first ``n`` images, each int64 (n,); the first m of n images are those of a roster of m."""
    block = _IMAGES * classes
    count = -(-n // block)
    patients = np.empty((count, block), np.int64)
    labels = np.empty((count, block), np.int64)
    for b, generator in enumerate(generators(seed, stream, np.arange(count))):
        sizes = np.concatenate([generator.permutation(_SIZES[generator.integers(2)]) for _ in range(classes)])
        who = np.repeat(np.arange(classes * _PATIENTS), sizes)
        order = generator.permutation(block)
        patients[b] = b * classes * _PATIENTS + who[order]
        labels[b] = who[order] // _PATIENTS
    return patients.reshape(-1)[:n], labels.reshape(-1)[:n]
