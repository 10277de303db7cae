"""The one in-memory form of a chest X-ray data set: what every reader returns and every other room receives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.preprocessing import Preprocessing
from search_spaces.errors import InputError

Indices = NDArray[np.int64]
Strings = NDArray[np.str_]
COLUMNS = (
    "images", "labels", "packed_masks", "has_mask", "group", "patient", "source", "view", "file", "split", "native_size",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels, groups and (where there are any) lung masks.

    Attributes:
        images: uint8 (N, 1, H, W), H == W, bright = dense (air is dark). May be memory-mapped.
        labels: int64 (N,), index into ``classes``.
        classes: class names in logit order.
        packed_masks: uint8 (N, ceil(H·W/8)), lungs bit-packed by ``np.packbits``; all zero where there is no mask.
        has_mask: bool (N,).
        group: str (N,), union of patients and duplicate clusters: what splits and intervals respect.
        patient: str (N,), the same for two images exactly if they are known to show one person; "" is unknown.
        source, view, file: str (N,); an unknown view is "".
        split: str (N,), "train" / "validation" / "audit" / "test" as the data set brings it, or "".
        metadata: further columns, each (N,).
        native_size: int64 (N, 2), height and width before resizing.
        truth: further pixel maps that a generator knows ("lesion", "marker", …), each bit-packed like the masks.
        spec: what the user asked for, in words; ``specs``: the same, one by one, to load them again; ``skipped`` counts unreadable or excluded files by reason.
        selection: the words that select the same classes again (``abnormal=covid+pneumonia``): ``load(…, classes=selection)``.
        preprocessing: how the images were made square; stored with every model that is trained on them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    packed_masks: NDArray[np.uint8]
    has_mask: NDArray[np.bool_]
    group: Strings
    patient: Strings
    source: Strings
    view: Strings
    file: Strings
    split: Strings
    native_size: NDArray[np.int64]
    metadata: dict[str, NDArray] = field(default_factory=dict)
    truth: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    spec: str = ""
    skipped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    selection: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.images.ndim != 4 or self.images.shape[1] != 1 or self.images.dtype != np.uint8:
            raise InputError(f"images must be uint8 (N, 1, H, W), but got {self.images.dtype} {self.images.shape}")
        for name in COLUMNS:
            if len(getattr(self, name)) != n:
                raise InputError(
                    f"{name} has {len(getattr(self, name))} rows for {n} labels; every column has one row an image"
                )
        if n and (self.labels.min() < 0 or self.labels.max() >= len(self.classes)):
            raise InputError(
                f"labels must lie in 0..{len(self.classes) - 1}, but go from {self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def asked(self) -> tuple[str, ...]:
        """The data specs one by one."""
        return self.specs or (self.spec,)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[2])

    def masks(self, indices: Indices | slice | None = None) -> NDArray[np.bool_]:
        """Lung masks, bool (n, H, W), of the given images (all by default)."""
        return self.unpacked(self.packed_masks, indices)

    def truth_maps(self, name: str, indices: Indices | slice | None = None) -> NDArray[np.bool_]:
        """A generator-known pixel map, bool (n, H, W), for example ``"lesion"``."""
        return self.unpacked(self.truth[name], indices)

    def unpacked(self, packed: NDArray[np.uint8], indices: Indices | slice | None = None) -> NDArray[np.bool_]:
        """Maps that are packed like the masks, bool (n, H, W)."""
        rows = packed if indices is None else packed[indices]
        height, width = self.images.shape[2:]
        return np.unpackbits(rows, axis=1, count=height * width).reshape(-1, height, width).astype(bool)

    def changed(self, **columns: Any) -> Dataset:
        """``dataclasses.replace`` for all but the images: their hashes, where they are known, need not be computed again."""
        other = replace(self, **columns)
        if "image_hashes" in self.__dict__:
            other.__dict__["image_hashes"] = self.image_hashes
        return other

    def subset(self, indices: Indices) -> Dataset:
        """The given images, in the given order, as a data set of their own."""
        columns = {name: getattr(self, name)[indices] for name in COLUMNS}
        metadata = {name: column[indices] for name, column in self.metadata.items()}
        truth = {name: column[indices] for name, column in self.truth.items()}
        part = replace(self, **columns, metadata=metadata, truth=truth)
        if "image_hashes" in self.__dict__:  # computed already: hashing the pixels again would read them all
            part.__dict__["image_hashes"] = self.image_hashes[indices]
        return part

    @cached_property
    def image_hashes(self) -> Strings:
        """:func:`image_hash` of every image: the identity that leak checks compare."""
        return np.array([image_hash(image) for image in self.images], dtype=np.str_)

    @cached_property
    def fingerprint(self) -> str:
        """Hash over images, labels, classes, groups and masks: two data sets share it exactly if training sees the same."""
        digest = hashlib.sha256()
        digest.update("\x1f".join(self.classes).encode())
        for text in (self.image_hashes, self.group, self.source):
            digest.update("\x1f".join(text.tolist()).encode())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        digest.update(np.ascontiguousarray(self.packed_masks).tobytes())
        return digest.hexdigest()[:16]


def image_hash(image: NDArray[np.uint8]) -> str:
    """SHA-256 of the pixels, its first 16 hexadecimal digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def pack_masks(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bit-pack masks, bool (n, H, W) or (n, 1, H, W) → uint8 (n, ceil(H·W/8)); n may be 0."""
    return np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)


@dataclass(frozen=True, eq=False)
class Parts:
    """The four disjoint parts of a data set, as indices into it."""

    train: Indices
    validation: Indices
    audit: Indices
    test: Indices

    def items(self) -> tuple[tuple[str, Indices], ...]:
        """Pairs of name and indices, in order."""
        return (("train", self.train), ("validation", self.validation), ("audit", self.audit), ("test", self.test))
