"""``medmnist:FILE.npz``: PneumoniaMNIST and ChestMNIST (28, 64, 128 or 224 pixels), streamed from the archive.

ChestMNIST names up to 14 findings an image: none is ``normal``, one is the label, several are left out and counted. No patient is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data import arrays
from nas.data.listing import ArrayRow, Listing, Row, clean
from nas.data.readers.base import register_reader
from search_spaces.errors import InputError

PNEUMONIA = ("normal", "pneumonia")
CHEST = ("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax", "consolidation",
         "edema", "emphysema", "fibrosis", "pleural", "hernia")  # fmt: skip
_SPLITS = ("train", "val", "test")


def recognise(path: Path) -> str:
    """An ``.npz`` with ``train_images``."""
    if not path.is_file() or path.suffix.lower() != ".npz":
        return ""
    try:
        return f"a MedMNIST archive ({clean(path.name)})" if "train_images" in arrays.keys(path) else ""
    except InputError:
        return ""


@register_reader("medmnist", "PneumoniaMNIST or ChestMNIST, a .npz of any of its sizes", recognise)
def read(path: Path) -> Listing:
    """Rows of the three splits, which are kept."""
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the .npz")
    names = [name for name in _SPLITS if f"{name}_images" in arrays.keys(path)]
    if not names:
        raise InputError(f"{path} has no array train_images; it is no MedMNIST archive")
    listing = Listing([])
    for split in names:
        _read_split(listing, path, split)
    return listing


def _read_split(listing: Listing, path: Path, split: str) -> None:
    key = f"{split}_images"
    shape = arrays.shape(path, key)
    labels = arrays.load(path, f"{split}_labels")
    if len(shape) not in (3, 4) or len(labels) != shape[0] or labels.dtype.kind not in "iub":
        raise InputError(f"{path}: {key} {shape} and its labels {labels.shape} do not fit; download it again")
    for index, label in enumerate(_names(labels.reshape(len(labels), -1), path)):
        if label:
            row = Row(ArrayRow(path, key, index), label, source=clean(path.stem), split=split, file=f"{split}/{index}")
            listing.rows.append(row)
        else:
            listing.skipped["several findings"] += 1


def _names(labels: NDArray, path: Path) -> list[str]:
    """Class name of every row of labels (N, 1) or multi-hot (N, L); "" for several findings."""
    if labels.shape[1] == 1:
        named = PNEUMONIA if path.name.startswith("pneumonia") else ()
        return [named[v] if 0 <= v < len(named) else f"class_{v}" for v in labels[:, 0].astype(np.int64).tolist()]
    known = CHEST if labels.shape[1] == len(CHEST) else tuple(f"finding_{i}" for i in range(labels.shape[1]))
    found = [np.nonzero(row)[0] for row in labels]
    return ["" if len(at) > 1 else known[at[0]] if len(at) else "normal" for at in found]
