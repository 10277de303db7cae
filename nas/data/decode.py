"""Files to greyscale: one rule per kind of pixel, with limits that hostile files cannot pass.

Rules. 8-bit grey is kept as it is. Colour becomes luma (ITU-R 601), palettes are looked up first, transparent pixels lie on
black. More than 8 bits: values are scaled by the smallest container of 8, 10, 12, 14 or 16 bits that holds the image's
largest value, so that a 12-bit radiograph in a 16-bit file is not nearly black; floats up to 1 are shares of white, and those that
would be nearly black as 8 bits (standardised, or in −1..1) are scaled by their own range. Inversion (bright = air) is undone only where the file
or the data set declares it: DICOM MONOCHROME1, TIFF WhiteIsZero, a PNG text field ``PhotometricInterpretation``, or a
reader's ``invert``; once, where both do; it is never guessed from the pixels.
"""

from __future__ import annotations

import errno
import hashlib
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

MAX_PIXELS = 80_000_000  # the largest detectors have about 20 million
MAX_FILE_BYTES = 512 * 2**20
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000")
MAX_LABEL = 8  # a mask without larger values numbers its regions: 1 and 2 for the two lungs, 3 to 5 for their lobes
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # not the file's own fault
_CONTAINERS = (255, 1023, 4095, 16383, 65535)
_DARK = 32  # the range of broken numbers below which they are no grey values of 8 bits


def luma(image: Image.Image) -> Image.Image:
    """Colours as an eye weighs them (ITU-R 601): how pictures are read."""
    return image.convert("RGB").convert("L")


def brightest(image: Image.Image) -> Image.Image:
    """The largest of the three channels: how masks are read, where a blue lung is as good as a red or white one."""
    return reduce(ImageChops.lighter, image.convert("RGB").split())


class UnreadableError(Exception):
    """A file that is no usable image; the message is a short reason that files are counted by."""


class UnavailableError(UnreadableError):
    """A file that cannot be read here and now; with a decoder, more memory or a better connection it could be."""


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Pillow's decompression-bomb warning raises instead (filters are process-wide: enter it in the main thread only)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for module in ("PIL", "pydicom"):  # corrupt EXIF, odd tags: of no use here
            warnings.filterwarnings("ignore", category=UserWarning, module=module)
        yield


Shade = Callable[[Image.Image], Image.Image]


def read_image(path: Path, *, invert: bool = False, shade: Shade = luma) -> tuple[Image.Image, str]:
    """A file as greyscale PIL image (mode L), colours by ``shade``, and the SHA-256 of its bytes (first 16 digits).

    Raises:
        UnreadableError: with the reason.
    """
    content = read_bytes(path)
    if content[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom"):
        from nas.data.dicom import grey_from_dicom

        grey = grey_from_dicom(content, invert=invert)
    else:
        grey = _grey_from_picture(content, invert=invert, shade=shade)
    return grey, hashlib.sha256(content).hexdigest()[:16]


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file within the size limit."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("not a regular file")
        if status.st_size == 0:
            raise UnreadableError("empty file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableError("file too large")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError("missing file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        kind = UnavailableError if getattr(error, "errno", None) in _PASSING else UnreadableError
        raise kind(f"cannot open ({type(error).__name__})") from error


def _grey_from_picture(content: bytes, *, invert: bool, shade: Shade) -> Image.Image:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableError("too many pixels")
            if getattr(image, "n_frames", 1) > 1 and image.format not in ("JPEG", "MPO"):
                raise UnreadableError("several frames")
            image.load()
            inverted = _inverted(image, declared=invert)
            return to_grey(ImageOps.exif_transpose(image), inverted=inverted, shade=shade)
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError("too many pixels") from None
    except Image.UnidentifiedImageError:
        raise UnreadableError("not an image") from None
    except MemoryError:
        raise UnavailableError("not enough memory") from None
    except (
        Exception
    ) as error:  # Pillow's plug-ins raise almost anything on damaged bytes (OSError, SyntaxError, struct.error, …)
        raise UnreadableError("damaged image") from error


def _inverted(image: Image.Image, *, declared: bool) -> bool:
    """Whether the pixels that Pillow gives are inverted, by the file's own word or the data set's (``declared``)."""
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
        return image.mode.startswith(("I", "F"))  # Pillow has undone WhiteIsZero for up to 8 bits
    return declared or str(image.info.get("PhotometricInterpretation", "")).strip().upper() == "MONOCHROME1"


def to_grey(image: Image.Image, inverted: bool = False, shade: Shade = luma) -> Image.Image:
    """Any PIL image → mode L, by the rules of this module; colours by ``shade``."""
    if image.mode.startswith(("I", "F")):
        grey = Image.fromarray(eight_bits(np.asarray(image)))
    elif image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
        grey = shade(Image.alpha_composite(black, coloured))
    elif image.mode in ("L", "1"):
        grey = image.convert("L")
    else:
        grey = shade(image)
    return ImageOps.invert(grey) if inverted else grey


def grey_from_array(values: NDArray) -> Image.Image:
    """Numbers (H, W), (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4) → mode L, by the rules of this module."""
    shown = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if shown.dtype.kind not in "uif" or not shown.size or not (shown.ndim == 2 or shown.shape[2:] in ((3,), (4,))):
        raise UnreadableError(f"not an image, but {values.dtype} {values.shape}")
    return to_grey(Image.fromarray(shown if shown.dtype == np.uint8 else eight_bits(shown)))


def eight_bits(values: NDArray) -> NDArray[np.uint8]:
    """More than 8 bits, or floats, (H, W) → uint8 by the smallest container that holds the largest value (see the module)."""
    numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UnreadableError("pixels are not finite")
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0:
        numbers, high = numbers - low, high - low
    floats = np.issubdtype(values.dtype, np.floating)
    if floats and high <= 1:
        top = 1.0
    elif floats and high < _DARK and (numbers % 1).any():
        top = high
    else:
        top = next((float(c) for c in _CONTAINERS if high <= c), high)
    return np.rint(numbers * (255.0 / top)).clip(0, 255).astype(np.uint8)


def read_mask(path: Path, size: tuple[int, int]) -> tuple[Image.Image, bool]:
    """A mask as PIL image (mode L, 0 or 255) of the image's ``size`` (width, height), and whether it had another size.

    Above half of the mask's own maximum is lung, so 0/1, 0/255, 1-bit and coloured masks, one colour a lung or for both, all work; in
    a map of labels up to ``MAX_LABEL`` every label is, as are both greys beside black where there are just two (0/127/255). Another
    size is resized by nearest neighbour.
    """
    grey, _ = read_image(path, shade=brightest)
    values = np.asarray(grey)
    levels = np.flatnonzero(grey.histogram())
    labels = levels[-1] <= MAX_LABEL or (levels[0] == 0 and len(levels) == 3)
    binary = Image.fromarray(np.where(values > (0 if labels else levels[-1] / 2), 255, 0).astype(np.uint8))
    other = binary.size != size
    return (binary.resize(size, Image.Resampling.NEAREST) if other else binary), other
