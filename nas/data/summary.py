"""First contact: what was loaded, counted, and what a person should know before trusting a score on it."""

from __future__ import annotations

import shlex

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import SPEC_JOIN, Dataset, Parts
from nas.data.features import confounding
from nas.data.listing import clean
from nas.records import DataSummary, Metric

TINY_GROUPS = 50  # below this a class cannot be audited
_SOURCE_ASSOCIATION = 0.3  # Cramér's V from which sources are called confounded with the class
_ABOVE_CHANCE = 0.10
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # set bits of every byte


def summarise(dataset: Dataset, parts: Parts | None = None) -> DataSummary:
    """Count classes, sources, masks, sizes and groups; measure confounding; warn in sentences; say what to run next."""
    trivial = confounding(dataset)
    warnings = [
        *dataset.notes,
        *_confounding_warnings(dataset, trivial),
        *_class_warnings(dataset),
        *_duplicate_warnings(dataset),
        *_mask_warnings(dataset),
        *(_part_warnings(dataset, parts) if parts is not None else ()),
    ]
    return DataSummary(
        spec=tuple(dataset.spec.split(SPEC_JOIN)),
        fingerprint=dataset.fingerprint,
        images=len(dataset),
        groups=len(np.unique(dataset.group)),
        classes=_per_class(dataset, np.arange(len(dataset))),
        sources={str(name): _per_class(dataset, np.nonzero(dataset.source == name)[0]) for name in np.unique(dataset.source)},
        with_mask=int(dataset.has_mask.sum()),
        image_size=dataset.image_size,
        parts={name: _per_class(dataset, indices) for name, indices in parts.items()} if parts is not None else {},
        trivial_features=trivial,
        warnings=tuple(warnings),
        skipped=dict(dataset.skipped),
        groups_per_class=_groups_per_class(dataset),
        native_sizes=_native_sizes(dataset),
        masks_per_class=_per_class(dataset, np.nonzero(dataset.has_mask)[0]),
        source_association=source_association(dataset),
        next_command=next_command(dataset),
    )


def _per_class(dataset: Dataset, indices: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(dataset.labels[indices], minlength=len(dataset.classes))
    return {name: int(count) for name, count in zip(dataset.classes, counts, strict=True)}


def _groups_per_class(dataset: Dataset) -> dict[str, int]:
    return {name: len(np.unique(dataset.group[dataset.labels == c])) for c, name in enumerate(dataset.classes)}


def _native_sizes(dataset: Dataset) -> dict[str, float]:
    """Least, median and greatest longer side, in pixels, and the median aspect ratio (height ÷ width)."""
    if not len(dataset):
        return {}
    height, width = dataset.native_size.astype(np.float64).T
    longer = np.maximum(height, width)
    aspect = height / np.maximum(width, 1)
    return {
        "least": float(longer.min()), "median": float(np.median(longer)), "greatest": float(longer.max()),
        "aspect": round(float(np.median(aspect)), 3),
    }  # fmt: skip


def source_association(dataset: Dataset) -> float | None:
    """Cramér's V between class and source, bias-corrected (Bergsma 2013): 0 independent, 1 the source gives the class away; None when
    there is one source or one class only."""
    _, source = np.unique(dataset.source, return_inverse=True)
    classes, label = np.unique(dataset.labels, return_inverse=True)
    n, r, k = len(dataset), source.max(initial=0) + 1, len(classes)
    if r < 2 or k < 2 or n < 2:
        return None
    table = np.bincount(source * k + label, minlength=r * k).reshape(r, k).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return round(min(1.0, (phi2 / smaller) ** 0.5), 4) if smaller > 0 else None


def _confounding_warnings(dataset: Dataset, trivial: Metric) -> list[str]:
    found = []
    chance = 1 / max(1, len(np.unique(dataset.labels)))
    interval = trivial.interval
    if trivial.value is not None and interval is not None and interval.low > chance and trivial.value > chance + _ABOVE_CHANCE:
        found.append(
            f"confounded: seven trivial features (brightness, border, size, …) predict the class with balanced accuracy "
            f"{trivial.value:.2f} [{interval.low:.2f}, {interval.high:.2f}] where chance is {chance:.2f}; "
            "a network that does not clearly beat this has shown nothing about disease"
        )
    association = source_association(dataset)
    if association is not None and association > _SOURCE_ASSOCIATION:
        alone = _one_source_classes(dataset)
        found.append(
            f"class and source go together (Cramér's V {association:.2f}): a network can tell the hospital instead of the disease"
            + (f"; from one source only: {', '.join(alone)}" if alone else "")
        )
    return found


def _one_source_classes(dataset: Dataset) -> list[str]:
    return [clean(name) for c, name in enumerate(dataset.classes) if len(np.unique(dataset.source[dataset.labels == c])) == 1]


def _class_warnings(dataset: Dataset) -> list[str]:
    found = []
    for name, groups in _groups_per_class(dataset).items():
        if groups < TINY_GROUPS:
            found.append(f"class {clean(name)!r} has {groups} independent groups; under {TINY_GROUPS} it cannot be audited")
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    if counts.min(initial=0) and counts.max() > 10 * counts.min():
        found.append(f"classes are unbalanced ({counts.max()} to {counts.min()}); accuracy misleads, read balanced accuracy")
    if (dataset.patient == "").all() and len(np.unique(dataset.group)) == len(dataset):
        found.append("no patient is known: each image counts as a person of its own, so intervals may be too narrow")
    return found


def _duplicate_warnings(dataset: Dataset) -> list[str]:
    cluster = dataset.metadata.get("duplicate_cluster")
    if cluster is None:
        return []
    first: dict[str, int] = {}
    torn = 0
    for name, label in zip(cluster.tolist(), dataset.labels.tolist(), strict=True):
        torn += bool(name) and first.setdefault(name, label) != label
    return (
        [f"{torn} duplicate images carry another class than their twin; at least one of the two labels is wrong"]
        if torn
        else []
    )


def _mask_warnings(dataset: Dataset) -> list[str]:
    without = int((~dataset.has_mask).sum())
    found = []
    if without:
        found.append(
            f"{without} of {len(dataset)} images have no lung mask; the audit finds the lungs itself there, or leaves them out"
        )
    if dataset.has_mask.any():
        pixels = dataset.image_size**2
        area = _BITS[dataset.packed_masks[dataset.has_mask]].sum(axis=1, dtype=np.int64) / pixels
        odd = int(((area < 0.05) | (area > 0.7)).sum())
        if odd:
            found.append(f"{odd} masks cover under 5 % or over 70 % of their image; look at them before trusting an audit")
    return found


def _part_warnings(dataset: Dataset, parts: Parts) -> list[str]:
    found = []
    for name, indices in parts.items():
        for label, count in _per_class(dataset, indices).items():
            if count < 10:
                found.append(f"part {name} has {count} images of class {clean(label)!r}; figures on it will be wide")
    cluster = dataset.metadata.get("duplicate_cluster")
    if cluster is not None:
        part = np.full(len(dataset), -1)
        for number, (_, indices) in enumerate(parts.items()):
            part[indices] = number
        crossing = sum(len(np.unique(part[(cluster == name) & (part >= 0)])) > 1 for name in np.unique(cluster[cluster != ""]))
        if crossing:
            found.append(
                f"{crossing} clusters of near-duplicates cross the splits that the data set brings; its test score is optimistic"
            )
    return found


def next_command(dataset: Dataset) -> str:
    """The command that makes sense after looking at this data."""
    data = " ".join(f"--data {shlex.quote(part)}" for part in dataset.spec.split(SPEC_JOIN)) if dataset.spec else ""
    return f"nas search {data} --budget 40M --image-size {dataset.image_size}".replace("  ", " ")
