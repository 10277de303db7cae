"""The four parts of a data set, disjoint by group; and the check that nothing leaks from one into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, Indices, Parts
from nas.data.listing import clean
from search_spaces.errors import InputError

PARTS = ("train", "validation", "audit", "test")
SMALL = {"train": 0.55, "validation": 0.15, "audit": 0.15, "test": 0.15}
LARGE = {"train": 0.70, "validation": 0.10, "audit": 0.10, "test": 0.10}  # from 10,000 images: a tenth is plenty to decide on
LARGE_FROM = 10_000
_SHOWN = 5
_REMEDY = "correct the splits that the data set brings, or have all images dealt afresh: --splits fresh"


class LeakageError(InputError):
    """Images of different parts show the same patient, group or pixels; ``pairs`` are (file, file, reason)."""

    def __init__(self, message: str, pairs: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(message)
        self.pairs = tuple(pairs)


def default_fractions(n: int) -> dict[str, float]:
    """0.55 / 0.15 / 0.15 / 0.15 below 10,000 images, 0.70 / 0.10 / 0.10 / 0.10 from there on."""
    return dict(SMALL if n < LARGE_FROM else LARGE)


def make_parts(
    dataset: Dataset, *, seed: int = 0, fractions: Mapping[str, float] | None = None, keep_splits: bool = True
) -> Parts:
    """Split by group, stratified by class and source.

    Splits that the data set brings are kept; parts that it lacks are cut from its training split, and images without a split join the
    part of their group or are spread like the others. Of joined data sets each fills the parts that it lacks itself: one that brings
    no splits is dealt to all four.

    Args:
        seed: order in which equal groups are dealt.
        fractions: part → share, for the parts that are not brought; by default ``default_fractions``.
        keep_splits: False deals all images afresh (``--splits fresh``).

    Raises:
        InputError: fractions that are no shares; a class with fewer groups than parts to deal them to; brought splits that leave
            a part empty.
    """
    given = _shares(dataset, fractions)
    shares = np.array([given[name] for name in PARTS])
    split = dataset.split if keep_splits else np.full(len(dataset), "")
    part = np.array([PARTS.index(name) if name in PARTS else -1 for name in split.tolist()], dtype=np.int64)
    names, group = np.unique(dataset.group, return_inverse=True)
    allowed, lacking = _allowed(dataset, part)
    _follow_groups(part, group, len(names))
    _release_train(part, group, len(names), lacking)
    pool = np.nonzero(part < 0)[0]
    of_group = np.ones((len(names), len(PARTS)), dtype=bool)
    np.logical_and.at(of_group, group[pool], allowed[pool])
    kinds = of_group[group[pool]]
    _check_groups(dataset, part, np.nonzero(kinds.any(axis=0))[0])
    rng = np.random.default_rng(seed)
    for kind in np.unique(kinds, axis=0):
        rows, targets = pool[(kinds == kind).all(axis=1)], np.nonzero(kind)[0]
        part[rows] = targets[_deal(dataset, rows, group, shares[targets] / shares[targets].sum(), rng)]
    found = {name: np.nonzero(part == i)[0].astype(np.int64) for i, name in enumerate(PARTS)}
    empty = [name for name, indices in found.items() if not len(indices)]
    if empty:
        raise InputError(f"no image is left for {', '.join(empty)}; {_REMEDY}")
    return Parts(**found)


def _shares(dataset: Dataset, fractions: Mapping[str, float] | None) -> dict[str, float]:
    shares = default_fractions(len(dataset)) if fractions is None else dict(fractions)
    unknown = sorted(set(shares) - set(PARTS))
    if unknown or set(shares) != set(PARTS) or any(not 0 < share < 1 for share in shares.values()):
        raise InputError(f"fractions must give each of {', '.join(PARTS)} a share between 0 and 1, but are {shares}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"fractions must add up to 1, but add up to {sum(shares.values()):g}")
    return shares


def _allowed(dataset: Dataset, part: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which parts each image may be dealt to, bool (N, 4): those that its own data set, of several joined, does not bring, and train,
    from which they are cut; and whether its data set lacks a part, bool (N,)."""
    own = dataset.metadata.get("data_set", np.full(len(dataset), "")).astype(np.str_)
    allowed, lacking = np.ones((len(dataset), len(PARTS)), dtype=bool), np.ones(len(dataset), dtype=bool)
    for name in np.unique(own):
        rows = own == name
        brought = np.isin(np.arange(len(PARTS)), part[rows])
        lacking[rows] = not brought.all()
        if not brought.all():
            allowed[rows] = ~brought | (np.arange(len(PARTS)) == 0)
    return allowed, lacking


def _follow_groups(part: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> None:
    """Images without a split join the part that their group is in (the last part if it is in several)."""
    of_group = np.full(groups, -1)
    np.maximum.at(of_group, group, part)
    part[part < 0] = of_group[group[part < 0]]


def _release_train(part: NDArray[np.int64], group: NDArray[np.int64], groups: int, lacking: NDArray[np.bool_]) -> None:
    """Put the training split of data sets that lack a part back into the pool, so that it is cut from there; groups that other parts,
    or complete data sets, share stay."""
    elsewhere = np.zeros(groups, dtype=bool)
    elsewhere[group[(part > 0) | ((part == 0) & ~lacking)]] = True
    part[(part == 0) & ~elsewhere[group]] = -1


def _check_groups(dataset: Dataset, part: NDArray[np.int64], targets: Indices) -> None:
    for c, name in enumerate(dataset.classes):
        own = dataset.labels == c
        empty = [PARTS[i] for i in targets if not (own & (part == i)).any()]
        groups = len(np.unique(dataset.group[own & (part < 0)]))
        if groups < len(empty):
            raise InputError(
                f"class {name!r} has {groups} independent groups to deal to {len(empty)} parts ({', '.join(empty)}); "
                "add images, or merge or leave out the class with --classes"
            )


def _deal(
    dataset: Dataset, pool: Indices, group: NDArray[np.int64], weights: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Target of every pooled image: largest groups first, each to the part that lacks most of its class and (class, source)."""
    strata = _strata(dataset, pool)
    _, local = np.unique(group[pool], return_inverse=True)
    counts = np.zeros((local.max() + 1, strata.max() + 1))
    for column in range(strata.shape[1]):
        np.add.at(counts, (local, strata[:, column]), 1.0)
    wanted = weights[:, None] * counts.sum(axis=0)  # (parts, strata)
    have = np.zeros_like(wanted)
    target = np.zeros(len(counts), dtype=np.int64)
    order = rng.permutation(len(counts))
    for g in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        own = counts[g]
        lack = ((wanted - have) / np.maximum(wanted, 1e-9)) @ own
        target[g] = int(np.lexsort((-weights, -np.round(lack, 9)))[0])
        have[target[g]] += own
    return target[local]


def _strata(dataset: Dataset, pool: Indices) -> NDArray[np.int64]:
    """Two strata an image, numbered apart: its class, and its class within its source."""
    labels = dataset.labels[pool]
    _, source = np.unique(dataset.source[pool], return_inverse=True)
    _, cell = np.unique(labels * (source.max() + 1) + source, return_inverse=True)
    return np.stack([labels, cell + len(dataset.classes)], axis=1)


def check_leaks(dataset: Dataset, parts: Parts) -> None:
    """Raise ``LeakageError`` when an image, group, patient or picture stands in more than one part.

    Patients are compared by their ids, whatever their source; pictures by the hash of their pixels.
    """
    part = np.full(len(dataset), -1, dtype=np.int64)
    found: dict[tuple[int, int], str] = {}  # of several reasons, a pair is told the first
    for number, (_, indices) in enumerate(parts.items()):
        found.update({(i, i): "same image" for i in indices[part[indices] >= 0].tolist()})
        part[indices] = number
    for keys, reason in (
        (dataset.image_hashes, "same pixels"),
        (dataset.metadata.get("duplicate_cluster", np.array([])), "near-duplicates"),
        (dataset.patient, "same patient"),
        (dataset.group, "same group"),
    ):
        found = {**dict.fromkeys(_crossing(keys.tolist(), part), reason), **found}
    pairs = [(str(dataset.file[i]), str(dataset.file[j]), found[i, j]) for i, j in sorted(found)]
    if pairs:
        shown = "; ".join(f"{a} and {b} ({reason})" for a, b, reason in pairs[:_SHOWN])
        more = f"; and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
        raise LeakageError(f"{len(pairs)} pairs of images leak between parts: {shown}{more}; {_REMEDY}", pairs)


def _crossing(keys: Sequence[str], part: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first image of every key with the first one of each other part that shares it."""
    first: dict[str, dict[int, int]] = {}
    for i, key in enumerate(keys):
        if key and part[i] >= 0:
            first.setdefault(key, {}).setdefault(int(part[i]), i)
    return [(next(iter(seen.values())), j) for seen in first.values() if len(seen) > 1 for j in list(seen.values())[1:]]


def parts_to_json(dataset: Dataset, parts: Parts) -> dict[str, Any]:
    """The parts as JSON: files with their pixel hashes, so that they can be checked when read back."""
    hashes, files = dataset.image_hashes, dataset.file
    return {
        "fingerprint": dataset.fingerprint,
        "parts": {name: [[str(files[i]), str(hashes[i])] for i in indices.tolist()] for name, indices in parts.items()},
    }


def parts_from_json(dataset: Dataset, value: Any) -> Parts:
    """The parts that ``parts_to_json`` wrote, as indices into ``dataset`` (which may be ordered otherwise).

    Raises:
        InputError: not such a JSON, or an image of it is not in the data set.
    """
    positions: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(dataset.file.tolist(), dataset.image_hashes.tolist(), strict=True)):
        positions.setdefault(key, []).append(i)  # a table may list one file twice
    try:
        found = {name: [positions[str(file), str(digest)].pop(0) for file, digest in value["parts"][name]] for name in PARTS}
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the stored parts do not belong to this data ({clean(repr(error))}); load the data they were made from"
        ) from error
    return Parts(**{name: np.array(indices, dtype=np.int64) for name, indices in found.items()})
