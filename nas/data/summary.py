"""First contact: what was loaded, counted, and what a person should know before trusting a score on it."""

from __future__ import annotations

import shlex

import numpy as np
from numpy.typing import NDArray

from nas.data.confounding import confounding, source_association
from nas.data.dataset import Dataset, Parts
from nas.data.listing import clean
from nas.data.parts import LeakageError, check_leaks
from nas.records import DataSummary

TINY_GROUPS = 50  # below this a class cannot be audited
_BRIGHTER = 10.0  # grey values by which lungs outshine the ring around them in an image that looks inverted
_CHUNK = 16
_LATERAL = {"l", "ll", "rl", "lat", "lateral", "left lateral", "right lateral"}
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # set bits of every byte


def summarise(dataset: Dataset, parts: Parts | None = None) -> DataSummary:
    """Count classes, sources, masks, sizes and groups; measure confounding; warn in sentences; say what to run next on data
    that were split."""
    trivial, confounded = confounding(dataset)
    warnings = [
        *dataset.notes,
        *confounded,
        *_class_warnings(dataset),
        *_view_warnings(dataset),
        *_duplicate_warnings(dataset),
        *_mask_warnings(dataset),
        *(_part_warnings(dataset, parts) if parts is not None else ()),
    ]
    return DataSummary(
        spec=dataset.asked,
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
        next_command=next_command(dataset) if parts is not None else "",
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


def _class_warnings(dataset: Dataset) -> list[str]:
    found = []
    for name, groups in _groups_per_class(dataset).items():
        if groups < TINY_GROUPS:
            found.append(
                f"class {clean(name)!r} has {groups} independent groups; a full audit of these images needs {TINY_GROUPS}"
            )
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    if counts.min(initial=0) and counts.max() > 10 * counts.min():
        found.append(f"classes are unbalanced ({counts.max()} to {counts.min()}); accuracy misleads, read balanced accuracy")
    if (dataset.patient == "").all() and len(np.unique(dataset.group)) == len(dataset):
        found.append("no patient is known: each image counts as a person of its own, so intervals may be too narrow")
    return found


def _view_warnings(dataset: Dataset) -> list[str]:
    lateral = sum(clean(view).casefold() in _LATERAL for view in dataset.view.tolist())
    return (
        [f"{lateral} of {len(dataset)} images are lateral views; everything here is made for frontal ones, leave them out"]
        if lateral
        else []
    )


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
        inverted = _inverted(dataset)
        if inverted:
            found.append(
                f"{inverted} images have lungs brighter than the ring around them: inverted, or opaque; they are used as they are "
                "(a table's column photometric = MONOCHROME1 turns an image round)"
            )
    return found


def _inverted(dataset: Dataset) -> int:
    """Masked images whose lungs are brighter than the ring around them: air should be dark."""
    reach = max(2, round(0.05 * dataset.image_size))
    chosen = np.nonzero(dataset.has_mask)[0]
    count = 0
    for start in range(0, len(chosen), _CHUNK):
        indices = chosen[start : start + _CHUNK]
        masks, pixels = dataset.masks(indices), dataset.images[indices, 0].astype(np.float32)
        ring = _dilated(masks, reach) & ~masks
        inside = (pixels * masks).sum(axis=(1, 2)) / np.maximum(masks.sum(axis=(1, 2)), 1)
        outside = (pixels * ring).sum(axis=(1, 2)) / np.maximum(ring.sum(axis=(1, 2)), 1)
        count += int((inside - outside > _BRIGHTER).sum())
    return count


def _dilated(masks: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Masks (n, H, W) grown by ``reach`` pixels to all four sides."""
    found = masks.copy()
    for axis in (1, 2):
        for step in (-reach, reach):
            found |= np.roll(masks, step, axis=axis)
    return found


def _part_warnings(dataset: Dataset, parts: Parts) -> list[str]:
    found = []
    for name, indices in parts.items():
        few = [f"{count} of {clean(label)!r}" for label, count in _per_class(dataset, indices).items() if count < 10]
        if few:
            found.append(f"part {name} has only {', '.join(few)}; intervals of figures on it will be wide")
    try:
        check_leaks(dataset, parts)
    except LeakageError as error:
        found.append(f"pictures or people cross the splits that the data set brings, and a search refuses them: {error}")
    return found


def next_command(dataset: Dataset, *options: str) -> str:
    """The command that makes sense after looking at this data with the given options."""
    data = [word for spec in filter(None, dataset.asked) for word in ("--data", spec)]
    return shlex.join(["nas", "search", *data, *options, "--budget", "40M", "--image-size", str(dataset.image_size)])
