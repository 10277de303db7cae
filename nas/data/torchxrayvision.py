"""Data sets of the library torchxrayvision, in our form: ``from_torchxrayvision(xrv.datasets.NIH_Dataset(…), image_size=96)``.

Such an object is a sequence of ``{"img": (1, H, W) in [−1024, 1024], "lab": (L,), …}`` with ``pathologies`` (L names), ``labels`` (N, L; NaN
is not stated) and a table ``csv``. The library itself is not imported: any object of this shape will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.assembly import assemble
from nas.data.cache import MASK_NONE, ROW_DTYPE, Decoded
from nas.data.dataset import Dataset
from nas.data.duplicates import look, near_duplicates
from nas.data.listing import ArrayRow, Listing, Row, clean, normal_form
from nas.data.preprocessing import Preprocessing
from nas.data.readers.csvfile import MISSING
from nas.data.selection import select
from search_spaces.errors import InputError

_RANGE = 1024.0


def from_torchxrayvision(
    dataset: Any, *, classes: str | Sequence[str] | None = None, image_size: int = 96, crop: str = "none", source: str = ""
) -> Dataset:
    """Every image with exactly one finding stated, or none (``normal``); those of several or unstated findings are counted and left out.

    Args:
        dataset: the object; its transforms are applied as they are (use none that draw at random).
        classes, image_size, crop: as for ``nas.data.load``.
        source: name of the collection; the class's name by default.

    Raises:
        InputError: the object lacks ``pathologies`` or ``labels``, or nothing is left.
    """
    names, labels = _labels(dataset)
    listing = Listing([])
    found = [_label(row, names) for row in labels]
    order, index = select([label for label in found if label], classes)
    settings = Preprocessing.parse(crop, image_size)
    rows: list[Row] = []
    picked: list[int] = []
    for i, label in enumerate(found):
        if normal_form(label) in index:
            rows.append(_row(dataset, i, label, source or type(dataset).__name__))
            picked.append(i)
        else:
            listing.skipped[f"class not selected: {label}" if label else "several or unstated findings"] += 1
    if not rows:
        raise InputError(f"the data set has no image with one finding among {', '.join(order)}; choose other classes")
    data = assemble(listing, rows, _pixels(dataset, picked, settings), order, index)
    return data.changed(spec=f"torchxrayvision {type(dataset).__name__}", preprocessing=settings)


def _labels(dataset: Any) -> tuple[list[str], NDArray]:
    names = [clean(name) for name in getattr(dataset, "pathologies", [])]
    labels = np.asarray(getattr(dataset, "labels", np.zeros((0, 0))), dtype=np.float64)
    if not names or labels.ndim != 2 or labels.shape[1] != len(names) or len(labels) != len(dataset):
        raise InputError(f"{type(dataset).__name__} has no matching pathologies and labels; give a torchxrayvision data set")
    return names, labels


def _label(row: NDArray, names: list[str]) -> str:
    """The one positive finding, ``normal`` when all are stated absent, else "" (several, or not stated)."""
    positive = np.nonzero(row == 1)[0]
    if len(positive) == 1:
        return names[positive[0]]
    return "normal" if not len(positive) and not np.isnan(row).any() else ""


def _row(dataset: Any, i: int, label: str, source: str) -> Row:
    def cell(*columns: str) -> str:
        table = getattr(dataset, "csv", None)
        column = next((name for name in columns if table is not None and name in getattr(table, "columns", ())), None)
        text = "" if column is None or table is None else clean(table[column].iloc[i])
        return "" if text in MISSING else text

    name = f"{source}/{i}"
    patient = cell("patientid", "patient_id", "PatientID")
    return Row(
        ArrayRow(Path(name), "img", i), label, patient=patient, source=source, view=cell("view", "view_position"), file=name
    )


def _pixels(dataset: Any, picked: list[int], settings: Preprocessing) -> Decoded:
    size = settings.image_size
    images = np.empty((len(picked), 1, size, size), dtype=np.uint8)
    records = []
    for row, i in enumerate(picked):
        values = np.asarray(dataset[i]["img"], dtype=np.float32).squeeze()
        if values.ndim != 2 or not np.isfinite(values).all():
            raise InputError(f"image {i} of {type(dataset).__name__} is no finite grey picture (1, H, W), but {values.shape}")
        grey = np.rint((values + _RANGE) * (255 / (2 * _RANGE))).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
        window = settings.window(image)
        images[row, 0] = settings.pixels(image, window)
        digest = sha256(images[row].tobytes()).hexdigest()[:16].encode()
        records.append((row, *grey.shape, MASK_NONE, window.no_lungs, look(images[row, 0]), digest))
    table = np.array(records, dtype=ROW_DTYPE)
    near = np.array(near_duplicates(images, table["look"]), dtype=np.int64).reshape(-1, 2)
    return Decoded(images, np.zeros((len(picked), (size * size + 7) // 8), np.uint8), table, near, ())
