"""How any radiograph becomes a square of pixels: one frozen object, stored with every model and applied to new images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.errors import InputError

CROPS = "none, square, pad, covidnet, covidnet-sixth, top=SHARE, top=SHARE+square"


class Preprocessing(BaseModel):
    """Crop and resize settings.

    Attributes:
        image_size: pixels a side of the result.
        top: share of the height cut off at the top (COVID-Net's answer to text markers; 0.08 in its later versions).
        shape: how the rest becomes square. ``squash``: both sides resized, aspect ratio lost (the default, nothing is cut);
            ``square``: the central square is kept; ``pad``: black bars are added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(default=96, ge=8, le=2048)
    top: float = Field(default=0.0, ge=0.0, le=0.5)
    shape: Literal["squash", "square", "pad"] = "squash"

    @classmethod
    def parse(cls, crop: str, image_size: int) -> Preprocessing:
        """From the command line's words; ``covidnet`` is 8 % off the top, then the central square (Wang et al. 2020, code)."""
        if not isinstance(image_size, int) or not 8 <= image_size <= 2048:
            raise InputError(f"image size must be a whole number from 8 to 2048, but got {image_size!r}")
        named = {"none": "", "covidnet": "top=0.08+square", "covidnet-sixth": "top=0.1666667"}
        top, shape = 0.0, "squash"
        for word in filter(None, named.get(crop, crop).split("+")):
            if word in ("square", "pad"):
                shape = word
            elif word.startswith("top="):
                top = _share(word[4:], crop)
            else:
                raise InputError(f"unknown crop {crop!r}; one of: {CROPS}")
        return cls.model_validate({"image_size": image_size, "top": top, "shape": shape})

    @property
    def crop(self) -> str:
        """The words that ``parse`` makes these settings from."""
        words = [f"top={self.top!r}"] if self.top else []
        return "+".join(words + ([] if self.shape == "squash" else [self.shape])) or "none"

    def square(self, image: Image.Image) -> Image.Image:
        """The cropped or padded image, before resizing (``squash`` leaves it oblong)."""
        width, height = image.size
        skip = int(height * self.top)
        left, upper, right, lower = 0, skip, width, height
        if self.shape == "square":
            side = min(width, height - skip)
            left, upper = (width - side) // 2, skip + (height - skip - side) // 2
            right, lower = left + side, upper + side
        elif self.shape == "pad":
            side = max(width, height - skip)
            left, upper = -((side - width) // 2), skip - (side - (height - skip)) // 2
            right, lower = left + side, upper + side
        box = (left, upper, right, lower)
        return image if box == (0, 0, width, height) else image.crop(box)  # crop fills outside with black

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Greyscale PIL image (mode L) → uint8 (image_size, image_size), antialiased."""
        size = (self.image_size, self.image_size)
        return np.asarray(self.square(image).resize(size, Image.Resampling.BILINEAR))

    def mask(self, mask: Image.Image) -> NDArray[np.bool_]:
        """Binary PIL mask (mode L, 0 or 255, of the image's size) → bool (image_size, image_size); half covered counts."""
        return self.pixels(mask) >= 128


def _share(text: str, crop: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.5:
        raise InputError(f"crop {crop!r}: the top share must be a number from 0 to 0.5, but got {text!r}")
    return share


def prepare(image_file: str | Path, preprocessing: Preprocessing, *, invert: bool = False) -> NDArray[np.uint8]:
    """One new image, exactly as training saw its images: uint8 (1, H, W); ``np.stack`` of several is a batch (n, 1, H, W).

    Raises:
        InputError: the file is missing, no image, truncated, or over the pixel limit.
    """
    from nas.data.decode import UnreadableError, bombs_are_errors, read_image

    path = Path(image_file)
    try:
        with bombs_are_errors():
            image, _ = read_image(path, invert=invert)
    except UnreadableError as error:
        raise InputError(f"cannot read image {path}: {error}; give a radiograph as PNG, JPEG, TIFF or DICOM") from error
    return preprocessing.pixels(image)[None]
