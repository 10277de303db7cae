"""First contact with data: count it, check it, warn; and write phantom data to try the toolkit with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import write_json
from nas.records import DataSummary
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.data.dataset import Dataset


def inspect(
    spec: str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] | None = None,
    image_size: int = 96,
    root: str | None = None,
    crop: str = "none",
    splits: str = "keep",
    imports: Sequence[str] = (),
    out: Path | None = None,
) -> DataSummary:
    """Load, split and summarise data; with ``out`` also write ``data.json`` and a contact sheet.

    Looking is lenient: what a search would refuse (one class, many unreadable files, splits that leak) is counted and said. The
    command to run next is one that a search of these data accepts, or "".

    Raises:
        InputError: data that cannot be read at all.
    """
    from nas.data import contact_sheet, load, make_parts, summarise
    from nas.data.summary import next_command

    if splits not in ("keep", "fresh"):
        raise InputError(f"--splits must be keep or fresh, but got {splits!r}")
    how: dict[str, Any] = {"image_size": image_size, "crop": crop, "root": None if root is None else Path(root)}
    refused: list[str] = []
    try:
        dataset = load(spec, classes=classes, **how)
    except InputError as error:
        refused.append(f"a search refuses these data: {error}")
        dataset = load(spec, classes=classes, lenient=True, **how)
    works = "" if refused else _splits_that_work(dataset, splits)
    try:
        parts = make_parts(dataset, keep_splits=splits == "keep")
    except InputError as error:
        parts = None
        refused.append(f"cannot be split for a search: {error}")
    summary = summarise(dataset, parts)
    options = {
        "--classes": classes if isinstance(classes, str) else ",".join(classes or ()),
        "--data-root": root,
        "--crop": crop if crop != "none" else "",
        "--splits": works if works != "keep" else "",
    }
    words = [
        word for name, value in (*options.items(), *(("--import", name) for name in imports)) if value for word in (name, value)
    ]
    command = next_command(dataset, *words) if works else ""
    summary = summary.model_copy(update={"warnings": (*summary.warnings, *refused), "next_command": command})
    if out is not None:
        write_json(out / "data.json", summary.model_dump(mode="json"))
        contact_sheet(dataset, out / "contact_sheet.png")
    return summary


def _splits_that_work(dataset: Dataset, asked: str) -> str:
    """The ``--splits`` under which a search accepts the data: what is asked for, else fresh ones, else ""."""
    from nas.data import check_leaks, make_parts

    for splits in dict.fromkeys((asked, "fresh")):
        with suppress(InputError):
            check_leaks(dataset, make_parts(dataset, keep_splits=splits == "keep"))
            return splits
    return ""


def write_phantom(out: Path, *, n: int, image_size: int, shortcut: str | None, seed: int) -> Path:
    """Write a phantom data set as PNG images, lung masks and ``metadata.csv``; returns the table's path."""
    import csv
    import io

    from PIL import Image

    from nas.data.phantom import phantom
    from nas.files import make_folder, write_text

    dataset = phantom(n=n, image_size=image_size, seed=seed, shortcut=shortcut)
    masks = dataset.masks()
    for folder in ("images", "masks"):
        make_folder(out / folder)
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
