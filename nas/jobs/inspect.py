"""First contact with data: count it, check it, warn; and write phantom data to try the toolkit with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.files import write_json
from nas.records import DataSummary
from search_spaces.errors import InputError


def inspect(
    spec: str | Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    image_size: int = 96,
    root: str | None = None,
    out: Path | None = None,
) -> DataSummary:
    """Load, split and summarise data; with ``out`` also write ``data.json`` and a contact sheet.

    Looking is lenient: one class, or many unreadable files, are counted and said, not refused.

    Raises:
        InputError: data that cannot be read at all.
    """
    from nas.data import contact_sheet, load, make_parts, summarise

    dataset = load(spec, classes=classes, image_size=image_size, root=None if root is None else Path(root), lenient=True)
    try:
        parts = make_parts(dataset)
    except InputError as error:  # too small to be split: still worth a look
        summary = summarise(dataset)
        summary = summary.model_copy(update={"warnings": (*summary.warnings, f"cannot be split for a search: {error}")})
    else:
        summary = summarise(dataset, parts)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "data.json", summary.model_dump(mode="json"))
        contact_sheet(dataset, out / "contact_sheet.png")
    return summary


def write_phantom(out: Path, *, n: int, image_size: int, shortcut: str | None, seed: int) -> Path:
    """Write a phantom data set as PNG images, lung masks and ``metadata.csv``; returns the table's path."""
    import csv
    import io

    from PIL import Image

    from nas.data.phantom import phantom
    from nas.files import write_text

    dataset = phantom(n=n, image_size=image_size, seed=seed, shortcut=shortcut)
    masks = dataset.masks()
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["file", "mask", "label", "patient", "group", "source", "view"])
    for i in range(len(dataset)):
        name = f"{i:06d}.png"
        Image.fromarray(dataset.images[i, 0]).save(out / "images" / name)
        Image.fromarray(masks[i]).save(out / "masks" / name)
        label = dataset.classes[dataset.labels[i]]
        writer.writerow(
            [f"images/{name}", f"masks/{name}", label, dataset.patient[i], dataset.group[i], dataset.source[i], dataset.view[i]]
        )
    write_text(out / "metadata.csv", rows.getvalue())
    return out / "metadata.csv"
