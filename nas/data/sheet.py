"""A contact sheet: a few images of every class and source, lungs outlined, for a person to look at before anything is trained."""

from __future__ import annotations

import unicodedata
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nas.data.dataset import Dataset, Indices
from nas.data.listing import clean
from nas.files import write_bytes

_TILE, _GAP, _LINE = 112, 4, 14
_MAX_ROWS = 24
_OUTLINE = (80, 220, 120)
_PAPER, _INK = (24, 24, 28), (235, 235, 235)


def contact_sheet(dataset: Dataset, path: Path, *, per_row: int = 8, seed: int = 0) -> Path:
    """Write a PNG with up to ``per_row`` randomly drawn images of every (class, source), lung outlines in green.

    At most 24 rows are drawn, the largest cells first; the last line says how many are not shown. Returns ``path``.
    """
    rows = _cells(dataset)
    shown = rows[:_MAX_ROWS]
    width = _GAP + per_row * (_TILE + _GAP)
    height = _GAP + max(1, len(shown)) * (_LINE + _TILE + _GAP) + (_LINE if len(rows) > len(shown) else 0)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    rng = np.random.default_rng(seed)
    for number, (title, members) in enumerate(shown):
        top = _GAP + number * (_LINE + _TILE + _GAP)
        draw.text((_GAP, top), _ascii(f"{title}: {len(members)} images"), fill=_INK)
        drawn = np.sort(rng.permutation(members)[:per_row])
        for column, index in enumerate(drawn.tolist()):
            sheet.paste(_tile(dataset, index), (_GAP + column * (_TILE + _GAP), top + _LINE))
    if len(rows) > len(shown):
        draw.text(
            (_GAP, height - _LINE), f"{len(rows) - len(shown)} further cells of class and source are not shown", fill=_INK
        )
    content = BytesIO()
    sheet.save(content, "PNG")
    write_bytes(path, content.getvalue())
    return path


def _cells(dataset: Dataset) -> list[tuple[str, Indices]]:
    """Title and images of every (class, source) that has any, classes in order, larger cells first."""
    found = []
    for label, name in enumerate(dataset.classes):
        cells = [(str(s), np.nonzero((dataset.labels == label) & (dataset.source == s))[0]) for s in np.unique(dataset.source)]
        cells.sort(key=lambda cell: -len(cell[1]))
        found += [(f"{name} / {source}" if source else name, members) for source, members in cells if len(members)]
    return found


def _tile(dataset: Dataset, index: int) -> Image.Image:
    image = Image.fromarray(dataset.images[index, 0]).resize((_TILE, _TILE), Image.Resampling.BILINEAR).convert("RGB")
    if not dataset.has_mask[index]:
        return image
    mask = Image.fromarray(dataset.masks(np.array([index]))[0]).resize((_TILE, _TILE), Image.Resampling.NEAREST)
    pixels = np.array(image)
    pixels[_outline(np.asarray(mask, dtype=bool))] = _OUTLINE
    return Image.fromarray(pixels)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _ascii(text: str) -> str:
    """The built-in font draws ASCII only: accents are left out, other letters become ``?``."""
    plain = (letter for letter in unicodedata.normalize("NFKD", clean(text)) if not unicodedata.combining(letter))
    return "".join(plain).encode("ascii", errors="replace").decode("ascii")
