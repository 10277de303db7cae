"""Letters on the film: the side markers that any picture may carry, and the tags that a planted shortcut adds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_LETTERS = {
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "A": (".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "P": ("####.", "#...#", "#...#", "####.", "#....", "#....", "#...."),
    "C": (".####", "#....", "#....", "#....", "#....", "#....", ".####"),
    "U": ("#...#", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."),
    "T": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
}


@lru_cache(maxsize=256)
def glyph(text: str, height: int) -> NDArray[np.float32]:
    """The text as coverage in [0, 1], ``height`` pixels high (at least 3), area-sampled from a 5 × 7 font."""
    columns = [np.array([[c == "#" for c in row] for row in _LETTERS[letter]], np.float32) for letter in text]
    gap = np.zeros((7, 1), np.float32)
    bitmap = np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1)
    height = max(height, 3)
    width = max(round(bitmap.shape[1] * height / 7), 3)
    drawn = _area(_area(bitmap, height).T, width).T
    drawn.setflags(write=False)  # shared by all that ask for the same
    return drawn


def ring(height: int) -> NDArray[np.float32]:
    """A circled dot in a dark box: coverage 0.5 = box, 1 = mark; another hospital's idea of a marker."""
    height = max(height, 5)
    axis = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    radius = np.hypot(axis[:, None], axis[None, :])
    bright = (np.abs(radius - 0.72) < 0.2) | (radius < 0.25)
    return np.where(bright, np.float32(1), np.float32(0.5))


def _area(bitmap: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Resample the first axis to ``rows`` by area."""
    source = bitmap.shape[0]
    edges = np.linspace(0, source, rows + 1)
    low, high = edges[:-1, None], edges[1:, None]
    cell = np.arange(source)[None, :]
    overlap = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32) @ bitmap


def paste(
    picture: NDArray[np.float32],
    coverage: NDArray[np.float32],
    corner: tuple[int, int],
    inset: tuple[float, float],
    level: float,
) -> NDArray[np.bool_]:
    """Write a tag into one picture (h, w), in place, near a corner; returns where it is, bool (h, w).

    Args:
        corner: (−1 left / +1 right, −1 top / +1 bottom).
        inset: distance of the tag from that corner in shares of the side, (across, down).
        level: brightness of the letters; coverage of exactly 0.5 darkens the ground instead (a box).
    """
    size = picture.shape[0]
    height, width = coverage.shape
    left, top = round(inset[0] * size), round(inset[1] * size)
    left = left if corner[0] < 0 else size - left - width
    top = top if corner[1] < 0 else size - top - height
    left, top = min(max(left, 0), size - width), min(max(top, 0), size - height)
    window = picture[top : top + height, left : left + width]
    boxed = coverage.min() >= 0.5
    alpha = coverage * 2 - 1 if boxed else coverage
    ground = np.minimum(window, 0.08) if boxed else window
    picture[top : top + height, left : left + width] = ground + alpha * (np.maximum(ground, level) - ground)
    where = np.zeros(picture.shape, bool)
    where[top : top + height, left : left + width] = True
    return where
