"""Pictures of a record as data URIs, so that a page is one file: contained, checked by content, and of bounded size."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from nas.records import Picture

LARGEST_SIDE = 1400  # pixels; larger pictures are scaled down for the page, the file beside it stays as it is
LARGEST_FILE = 64 * 2**20
AS_IS = 400 * 2**10
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Embedded:
    """A picture ready for the page; ``problem`` says why there is no ``uri``."""

    title: str
    caption: str
    path: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def embed(pictures: Iterable[Picture], bases: Sequence[Path]) -> tuple[Embedded, ...]:
    """Each picture from the first of ``bases`` that holds it; what cannot be read is named, not dropped."""
    return tuple(_embed(picture, bases) for picture in pictures)


def _embed(picture: Picture, bases: Sequence[Path]) -> Embedded:
    blank = Embedded(picture.title, picture.caption, picture.path)
    file = _locate(picture.path, bases)
    if file is None:
        return Embedded(blank.title, blank.caption, blank.path, problem="not found beside the record")
    try:
        uri, width, height = _data_uri(file)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        return Embedded(blank.title, blank.caption, blank.path, problem=f"unreadable: {type(error).__name__}")
    return Embedded(blank.title, blank.caption, blank.path, uri, width, height)


def _locate(path: str, bases: Sequence[Path]) -> Path | None:
    """The file, if it lies inside a base: a record that names ``../../etc/passwd`` gets nothing."""
    for base in bases:
        root = base.resolve()
        file = (root / path).resolve()
        if file.is_relative_to(root) and file.is_file() and file.stat().st_size <= LARGEST_FILE:
            return file
    return None


def _data_uri(file: Path) -> tuple[str, int, int]:
    content = file.read_bytes()
    with Image.open(io.BytesIO(content), formats=tuple(_FORMATS)) as image:
        kind, (width, height) = image.format or "PNG", image.size
        if len(content) > AS_IS or max(width, height) > LARGEST_SIDE:
            image.load()
            smaller = image.convert("RGB")
            smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            buffer = io.BytesIO()
            smaller.save(buffer, "JPEG", quality=88)
            content, kind, (width, height) = buffer.getvalue(), "JPEG", smaller.size
        else:
            image.verify()
    return f"data:{_FORMATS[kind]};base64,{base64.b64encode(content).decode()}", width, height
