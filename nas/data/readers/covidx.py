"""``covidx:DIR``: COVIDx, all versions, from its label files ``train.txt``, ``test.txt`` and, from CXR-4 on, ``val.txt``.

A line is ``patient file label source``, separated by blanks, without a header; old versions lack the source, and some patient ids hold a
blank (``COVID 70 COVID(70).png COVID-19 sirm``), so lines are read from the right. ``DIR/labels/train_COVIDx9B.txt`` chooses one version
of the data set's own repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from nas.data.listing import Listing, Row, clean, resolve
from nas.data.readers.base import register_reader
from nas.data.readers.layout import descend, entries, required
from search_spaces.errors import InputError

LABELS = {"normal": "normal", "pneumonia": "pneumonia", "covid-19": "covid", "negative": "negative", "positive": "positive",
          "level1": "level1", "level2": "level2"}  # fmt: skip
_FOLDERS = {"train": ("train", "data/train"), "val": ("val", "data/val"), "test": ("test", "competition_test", "data/test")}
_FILE = re.compile(r"(train|val|test)(?![a-z]).*\.txt", re.IGNORECASE)
_MAX_BYTES = 256 * 2**20


def parse_line(line: str) -> tuple[str, str, str, str] | None:
    """(patient, file, label, source) of a label line; the source may be ""; None when it is no such line."""
    tokens = clean(line.replace("\t", " ")).split()
    if len(tokens) >= 3 and tokens[-1].lower() in LABELS:
        label, source, rest = tokens[-1], "", tokens[:-1]
    elif len(tokens) >= 4 and tokens[-2].lower() in LABELS:
        label, source, rest = tokens[-2], tokens[-1].lower(), tokens[:-2]
    else:
        return None
    return " ".join(rest[:-1]), rest[-1], LABELS[label.lower()], {"rnsa": "rsna"}.get(source, source)


def recognise(path: Path) -> str:
    """Label files whose first line parses, beside an image folder."""
    base = descend(path, lambda folder: bool(_label_files(folder)), depth=1) if path.is_dir() else None
    for file in _label_files(base) if base else []:
        with file.open(encoding="utf-8", errors="replace") as lines:
            if parse_line(lines.readline(4096)):
                return f"COVIDx label files ({', '.join(clean(one.name) for one in _label_files(base) if base)})"
    return ""


@register_reader("covidx", "COVIDx, from its train/val/test label files (3, 4 or 5 tokens a line)", recognise)
def read(path: Path) -> Listing:
    """Rows of all label lines; the data set's own splits are kept."""
    if path.is_file():
        base, files = path.parent, _version(path)
    else:
        base = required(
            path, descend(path, lambda f: bool(_label_files(f)), 1), "train.txt and test.txt beside train/ and test/"
        )
        files = _label_files(base)
    if base.name == "labels":
        base = base.parent
    _one_version(files, path)
    listing = Listing([])
    for file in files:
        _read_file(listing, base, file)
    if not listing.rows:
        raise InputError(f"{path}: no line of {', '.join(file.name for file in files)} reads 'patient file label source'")
    return listing


def _label_files(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return [entry for entry in entries(folder) if _FILE.fullmatch(entry.name) and entry.is_file()]


def _split(file: Path) -> str:
    match = _FILE.fullmatch(file.name)
    return match.group(1).lower() if match else ""


def _version(path: Path) -> list[Path]:
    """The files of all splits that share the version in the name of one of them."""
    split = _split(path)
    if not split:
        raise InputError(f"{path} is no COVIDx label file; its name must begin with train, val or test and end with .txt")
    tail = path.name[len(split) :]
    return [file for file in _label_files(path.parent) if file.name[len(_split(file)) :] == tail]


def _one_version(files: list[Path], path: Path) -> None:
    splits = [_split(file) for file in files]
    if len(set(splits)) < len(splits):
        raise InputError(
            f"{path} holds label files of several versions ({', '.join(file.name for file in files[:6])}); "
            f"name one, for example covidx:{files[-1]}"
        )


def _read_file(listing: Listing, base: Path, file: Path) -> None:
    if file.stat().st_size > _MAX_BYTES:
        raise InputError(f"{file} has {file.stat().st_size} bytes; a label file has at most {_MAX_BYTES}")
    split = _split(file)
    folders = [base / name for name in _FOLDERS[split] if (base / name).is_dir()] or [base]
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = parse_line(line)
        if fields is None:
            if line.strip():
                listing.skipped["line that is not 'patient file label source'"] += 1
            continue
        patient, name, label, source = fields
        image = _find(folders, name)
        if image is None:
            listing.skipped["file name leaves the data set"] += 1
            continue
        # sirm numbers images, not people: its ids group nothing; the other collections each have a numbering of their own
        known, source = "" if source == "sirm" else patient, source or "covidx"
        row = Row(image, label, patient=known, scope=source, source=source, split=split, file=f"{split}/{name}")
        listing.rows.append(row)


def _find(folders: list[Path], name: str) -> Path | None:
    """The image in the first folder that has it (the last one's path when none does: it will count as missing)."""
    found = None
    for folder in folders:
        found = resolve(folder, name, free=False)
        if found is None or os.path.exists(found):
            break
    return found
