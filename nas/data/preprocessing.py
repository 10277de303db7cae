"""How any radiograph becomes a square of pixels: one frozen object, stored with every model and applied to new images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.errors import InputError

CROPS = (
    "none, square, pad, lungs, covidnet, covidnet-sixth, top=SHARE, or several of top=SHARE, lungs, square and pad joined by +"
)


class Window(NamedTuple):
    """What of a picture is used, and whether that is all of it for want of lungs that a crop looked for."""

    box: tuple[int, int, int, int]  # left, upper, right, lower: pixels, the last two exclusive
    no_lungs: bool


class Preprocessing(BaseModel):
    """Crop and resize settings.

    Attributes:
        image_size: pixels a side of the result.
        top: share of the height cut off at the top (COVID-Net's answer to text markers; 0.08 in its later versions).
        lungs: cut to the box of the lungs and a margin, where the shipped segmenter finds them in the whole picture; it is asked
            about every image, also where the data bring masks, so that new images are treated alike. Where it does not trust
            itself, nothing more is cut.
        shape: how the rest becomes square. ``squash``: both sides resized, aspect ratio lost (the default, nothing is cut);
            ``square``: the central square is kept; ``pad``: black bars are added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(default=96, ge=8, le=2048)
    top: float = Field(default=0.0, ge=0.0, le=0.5)
    lungs: bool = False
    shape: Literal["squash", "square", "pad"] = "squash"

    @classmethod
    def parse(cls, crop: str, image_size: int) -> Preprocessing:
        """From the command line's words; ``covidnet`` is 8 % off the top, then the central square (Wang et al. 2020, code)."""
        if not isinstance(image_size, int) or not 8 <= image_size <= 2048:
            raise InputError(f"image size must be a whole number from 8 to 2048, but got {image_size!r}")
        named = {"none": "", "covidnet": "top=0.08+square", "covidnet-sixth": "top=0.1666667"}
        top, lungs, shape = 0.0, False, "squash"
        for word in filter(None, named.get(crop, crop).split("+")):
            if word in ("square", "pad"):
                shape = word
            elif word == "lungs":
                lungs = True
            elif word.startswith("top="):
                top = _share(word[4:], crop)
            else:
                raise InputError(f"unknown crop {crop!r}; one of: {CROPS}")
        return cls.model_validate({"image_size": image_size, "top": top, "lungs": lungs, "shape": shape})

    @property
    def crop(self) -> str:
        """The words that ``parse`` makes these settings from."""
        words = [f"top={self.top!r}"] if self.top else []
        words += ["lungs"] if self.lungs else []
        return "+".join(words + ([] if self.shape == "squash" else [self.shape])) or "none"

    def window(self, image: Image.Image) -> Window:
        """What is cut out of an image; of it, ``square`` keeps or pads."""
        width, height = image.size
        skip = int(height * self.top)
        if self.lungs:
            from nas.data.segmenter import lung_box

            box = lung_box(image)
            if box is not None and box[3] > skip:
                return Window((box[0], max(box[1], skip), box[2], box[3]), no_lungs=False)
        return Window((0, skip, width, height), no_lungs=self.lungs)

    def square(self, image: Image.Image, window: Window) -> Image.Image:
        """The cropped or padded image, before resizing (``squash`` leaves it oblong); ``window`` is the image's own, or its mask's image's."""
        cut = image.crop(window.box)
        width, height = cut.size
        if self.shape == "squash":
            return cut
        side = min(width, height) if self.shape == "square" else max(width, height)
        left, upper = int((width - side) / 2), int((height - side) / 2)
        return cut.crop((left, upper, left + side, upper + side))  # crop fills outside with black

    def pixels(self, image: Image.Image, window: Window | None = None) -> NDArray[np.uint8]:
        """Greyscale PIL image (mode L) → uint8 (image_size, image_size), antialiased; its ``window``, if that is known already."""
        size = (self.image_size, self.image_size)
        squared = self.square(image, self.window(image) if window is None else window)
        return np.asarray(squared.resize(size, Image.Resampling.BILINEAR))

    def mask(self, mask: Image.Image, window: Window) -> NDArray[np.bool_]:
        """Binary PIL mask (mode L, 0 or 255, of the image's size) and its image's window → bool (image_size, image_size); half covered counts."""
        return self.pixels(mask, window) >= 128


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
    return preprocessing.pixels(open_image(image_file, invert=invert))[None]


def open_image(image_file: str | Path, *, invert: bool = False) -> Image.Image:
    """One image file as decoded, mode L; raises as ``prepare`` does."""
    from nas.data.decode import UnreadableError, bombs_are_errors, read_image

    path = Path(image_file)
    try:
        with bombs_are_errors():
            return read_image(path, invert=invert)[0]
    except UnreadableError as error:
        raise InputError(f"cannot read image {path}: {error}; give a radiograph as PNG, JPEG, TIFF or DICOM") from error
