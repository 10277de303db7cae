"""Chest X-rays in: one reader per on-disk layout, one in-memory form, parts, checks and the phantom. No torch in here."""

from __future__ import annotations

from nas.data.controls import control, control_names
from nas.data.dataset import Dataset, Parts, pack_masks
from nas.data.features import trivial_control, trivial_features
from nas.data.listing import Listing, Row
from nas.data.loading import load
from nas.data.parts import LeakageError, check_leaks, make_parts, parts_from_json, parts_to_json
from nas.data.preprocessing import Preprocessing, prepare
from nas.data.readers.base import Reader, reader_descriptions, reader_names, register_reader
from nas.data.sheet import contact_sheet
from nas.data.summary import summarise
from nas.data.torchxrayvision import from_torchxrayvision

__all__ = [
    "Dataset", "LeakageError", "Listing", "Parts", "Preprocessing", "Reader", "Row", "check_leaks", "contact_sheet", "control",
    "control_names", "from_torchxrayvision", "load", "make_parts", "pack_masks", "parts_from_json", "parts_to_json", "prepare",
    "reader_descriptions", "reader_names", "register_reader", "summarise", "trivial_control", "trivial_features",
]  # fmt: skip
