"""Where the lungs lie in a picture: their bounding box and a margin, for the crop to the lungs."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from nas.data.segmenter.inference import segment

Box = tuple[int, int, int, int]  # left, upper, right, lower: pixels, the last two exclusive
MARGIN = 0.08  # of the lungs' width and height, on each side: room for the ribs, and for what the segmenter misses


def lung_box(image: Image.Image) -> Box | None:
    """The box of the lungs and ``MARGIN`` around them, within the picture (mode L); None where the segmenter trusts no mask.

    A picture is segmented alone, on a small copy, never in a batch: the same picture has the same box in training and when it is new.
    """
    from nas.data.segmenter.network import SIZE

    small = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    masks, ok, _ = segment(small[None, None])
    if not ok[0]:
        return None
    sides = [_side(np.flatnonzero(masks[0, 0].any(axis)), SIZE, pixels) for axis, pixels in enumerate(image.size)]
    (left, right), (upper, lower) = sides
    return left, upper, right, lower


def _side(used: np.ndarray, size: int, pixels: int) -> tuple[int, int]:
    """First and last (exclusive) pixel of a side of ``pixels``, where the mask of ``size`` uses these columns or rows."""
    low, high = int(used[0]), int(used[-1]) + 1
    margin = MARGIN * (high - low)
    scale = pixels / size
    return max(0, math.floor((low - margin) * scale)), min(pixels, math.ceil((high + margin) * scale))
