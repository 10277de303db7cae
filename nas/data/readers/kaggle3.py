"""``kaggle3:DIR``: the three-class layout ``Data/{train,test}/{COVID19,NORMAL,PNEUMONIA}``; its test split is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nas.data.listing import Listing, normal_form
from nas.data.readers import folder
from nas.data.readers.base import register_reader
from nas.data.readers.layout import by_name, descend, required

CLASSES = {"covid19", "normal", "pneumonia"}


def _fits(path: Path) -> bool:
    return {"train", "test"} <= set(by_name(path)) and set(by_name(path / by_name(path)["train"].name)) >= CLASSES


def recognise(path: Path) -> str:
    """``train/COVID19`` and ``test`` beside it."""
    return "three-class layout (train/test × COVID19, NORMAL, PNEUMONIA)" if descend(path, _fits, 1) else ""


@register_reader("kaggle3", "Data/{train,test}/{COVID19,NORMAL,PNEUMONIA}", recognise)
def read(path: Path) -> Listing:
    """Rows of both splits."""
    base = required(path, descend(path, _fits, 1), "{train,test}/{COVID19,NORMAL,PNEUMONIA}")
    listing = folder.read(base)
    listing.rows = [replace(row, label=normal_form(row.label), source="kaggle3") for row in listing.rows]
    return listing
