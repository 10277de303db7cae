"""Folds of a benchmark: inside the non-test part, by group, stratified; every leak that can be seen is refused.

The sealed test and the audit part stay outside the folds. Each fold holds out its share of the rest, and takes a validation
share (a seventh, by group) from what remains, which picks the epoch; so nothing that is scored has picked anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data import LeakageError, check_leaks
from nas.data.dataset import Dataset, Indices, Parts
from nas.files import file_name
from search_spaces.errors import InputError

VALIDATION_FOLDS = 7
COPY_CORRELATION = 0.9995  # of 24 × 24 thumbnails; two patients of one scanner stay below 0.999
COPY_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Fold:
    """One training: its number, seed, and indices into the data set."""

    seed: int
    number: int
    train: Indices
    validation: Indices
    held_out: Indices
    label: str = ""  # of a training outside the cross-validation

    @property
    def name(self) -> str:
        """``seed0-fold1``, or the label, fit for a file's name."""
        return file_name(self.label) if self.label else f"seed{self.seed}-fold{self.number}"


def make_folds(dataset: Dataset, parts: Parts, *, folds: int, seeds: int, seed: int = 0) -> tuple[Fold, ...]:
    """``folds`` folds for each of ``seeds`` seeds; every seed deals them afresh.

    Raises:
        InputError: a class has fewer groups than folds, or too few beside a held-out part to train and validate on.
        LeakageError: the same patient, group, pixels or mirrored picture on two sides of a fold; names the pairs.
    """
    pool = np.sort(np.concatenate([parts.train, parts.validation]))
    _check_groups(dataset, pool, folds)
    found = []
    for repeat in range(seeds):
        for number, (rest, held_out) in enumerate(split(dataset, pool, folds, seed + repeat)):
            inner = with_validation(dataset, rest, seed + repeat)
            if inner is None:
                raise _too_few(dataset, pool, fewest_groups(dataset, rest)[0], folds)
            found.append(Fold(repeat, number, *inner, held_out))
    for fold in found:
        check_fold(dataset, parts, fold)
    return tuple(found)


def split(dataset: Dataset, pool: Indices, folds: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Pairs of (rest, held out), indices into the data set: stratified by class, whole groups only."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(pool)), dataset.labels[pool], dataset.group[pool])
    return [(pool[rest], pool[held_out]) for rest, held_out in parts]


def with_validation(dataset: Dataset, pool: Indices, seed: int) -> tuple[Indices, Indices] | None:
    """What of a pool trains and what validates, each with every class; None where groups are too few, or too unequal, for that."""
    folds = min(VALIDATION_FOLDS, fewest_groups(dataset, pool)[1])
    dealt = split(dataset, pool, folds, seed) if folds > 1 else []
    return next((sides for sides in dealt if all(fewest_groups(dataset, side)[1] for side in sides)), None)


def fewest_groups(dataset: Dataset, pool: Indices) -> tuple[str, int]:
    """The class with the fewest groups in ``pool``, and how many."""
    counts = {name: _groups(dataset, pool, name) for name in dataset.classes}
    name = min(counts, key=lambda key: counts[key])
    return name, counts[name]


def _groups(dataset: Dataset, pool: Indices, name: str) -> int:
    return len(np.unique(dataset.group[pool][dataset.labels[pool] == dataset.classes.index(name)]))


def _check_groups(dataset: Dataset, pool: Indices, folds: int) -> None:
    name, groups = fewest_groups(dataset, pool)
    if groups < max(folds, 3):
        raise _too_few(dataset, pool, name, folds)


def _too_few(dataset: Dataset, pool: Indices, name: str, folds: int) -> InputError:
    groups = _groups(dataset, pool, name)
    other = "more" if folds == 2 < groups else "fewer"  # two folds leave half of the groups to train and to validate
    return InputError(
        f"class {name!r} has {groups} independent groups outside the test and audit parts, too few for {folds} folds with "
        f"validation; ask for {other} (--folds of a benchmark, --cross-fit of an audit), or merge or leave out the class with --classes"
    )


def check_fold(dataset: Dataset, parts: Parts, fold: Fold) -> None:
    """Raise ``LeakageError``, naming the pairs, where training could have seen what it is scored on."""
    outside = np.concatenate([fold.held_out, parts.audit])
    check_leaks(dataset, Parts(train=fold.train, validation=fold.validation, audit=outside, test=parts.test))


def check_copies(dataset: Dataset, parts: Parts) -> tuple[str, ...]:
    """Mirrored or turned copies of one picture inside and outside the sealed test: augmentation before the split.

    Returns:
        A note where there are a few.

    Raises:
        LeakageError: more than one test image in a hundred has such a copy.
    """
    inside = np.concatenate([parts.train, parts.validation])
    pairs = turned_copies(dataset.images[inside], dataset.images[parts.test])
    if not len(pairs):
        return ()
    named = [(str(dataset.file[inside[a]]), str(dataset.file[parts.test[b]]), "mirrored or turned copy") for a, b in pairs]
    shown = "; ".join(f"{a} and {b}" for a, b, _ in named[:5])
    copies = len({b for _, b in pairs.tolist()})
    if copies > COPY_SHARE * len(parts.test):
        raise LeakageError(
            f"{copies} test images are mirrored or turned copies of training images ({shown}): the data were augmented before they "
            "were split; use the originals, or give each original and its copies one patient or group",
            named,
        )
    return (f"{copies} test images look like mirrored or turned copies of training images: {shown}",)


def turned_copies(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs (i, j), (p, 2), where ``second[j]`` is ``first[i]`` mirrored or turned by right angles; images (n, 1, H, W)."""
    own, other = thumbnails(first), thumbnails(second)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for turns in range(4):
        for mirrored in (False, True):
            if not turns and not mirrored:
                continue  # plain near-duplicates are grouped when the data are loaded
            moved = np.rot90(other[:, :, ::-1] if mirrored else other, turns, axes=(1, 2))
            flat = moved.reshape(len(other), -1)
            for start in range(0, len(own), 2048):
                rows = own[start : start + 2048].reshape(-1, flat.shape[1])
                found = np.argwhere(rows @ flat.T > COPY_CORRELATION)
                pairs.append(np.stack([found[:, 0] + start, found[:, 1]], axis=1).astype(np.int64))
    return np.unique(np.concatenate(pairs), axis=0)


def thumbnails(images: NDArray[np.uint8], side: int = 24) -> NDArray[np.float32]:
    """Block means of (n, 1, H, W), each standardised to length 1, (n, side, side); all zero for an even picture."""
    step = max(images.shape[2] // side, 1)
    edge = step * (images.shape[2] // step)
    cells = edge // step
    blocks = images[:, 0, :edge, :edge].reshape(len(images), cells, step, cells, step).mean(axis=(2, 4), dtype=np.float32)
    blocks -= blocks.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((blocks**2).sum(axis=(1, 2), keepdims=True))
    return np.divide(blocks, lengths, out=np.zeros_like(blocks), where=lengths > 1e-3)
