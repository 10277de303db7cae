"""DICOM radiographs to greyscale: modality rescale, window, MONOCHROME1, compressed transfer syntaxes. Needs the extra ``dicom``.

A declared window (centre and width, or a VOI table) is applied; without one the values are scaled like any image of more than 8 bits
(see ``nas.data.decode``). Colours, palettes too, become luma. MONOCHROME1 is inverted, as is what the data set declares inverted.
Files of several frames or of another technique, such as CT, are refused: they are no radiographs.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nas.data.decode import MAX_PIXELS, UnavailableError, UnreadableError, eight_bits, luma
from search_spaces.errors import InputError

REMEDY = "install the extra: pip install 'pepx-nas[dicom]'"
OTHER_TECHNIQUES = {"CT", "MR", "PT", "NM", "US"}  # what a file says it was made by, and is certainly no radiograph
NO_DECODER = "no decoder for its transfer syntax"


def library() -> ModuleType:
    """pydicom, or ``InputError`` with the remedy."""
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"DICOM files need pydicom; {REMEDY}") from error
    return pydicom


def header(path: Path) -> Any:
    """The tags of a file, without its pixels; ``UnreadableError`` when it is no DICOM file."""
    pydicom = library()
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (
        Exception
    ) as error:  # damaged files make pydicom raise nearly anything (InvalidDicomError, struct.error, KeyError, …)
        raise UnreadableError("not DICOM, or damaged") from error


def grey_from_dicom(content: bytes, *, invert: bool = False) -> Image.Image:
    """The bytes of a DICOM file → PIL image, mode L, bright = dense; ``invert``: the data set declares that bright is air."""
    pydicom = library()
    try:
        data = pydicom.dcmread(BytesIO(content))
        _check(data)
        values = _coloured(data, np.asarray(data.pixel_array))
    except UnreadableError:
        raise
    except MemoryError:
        raise UnavailableError("not enough memory") from None
    except Exception as error:  # as above; a missing decoder also ends here, with pydicom's own words
        if "missing dependencies" in str(error):
            raise UnavailableError(NO_DECODER) from error
        raise UnreadableError("damaged DICOM") from error
    if values.ndim == 3 and values.shape[2] == 3:
        grey = luma(Image.fromarray(values if values.dtype == np.uint8 else eight_bits(values)))
    elif values.ndim == 2:
        grey = Image.fromarray(_windowed(data, values))
    else:
        raise UnreadableError("several frames")
    inverted = invert or str(data.get("PhotometricInterpretation", "")).upper() == "MONOCHROME1"
    return ImageOps.invert(grey) if inverted else grey


def _check(data: Any) -> None:
    """Refuse what is no single radiograph before any pixel is decompressed."""
    if "PixelData" not in data:
        raise UnreadableError("DICOM without pixels")
    if (modality := str(data.get("Modality") or "").strip().upper()) in OTHER_TECHNIQUES:
        raise UnreadableError(f"modality {modality}")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise UnreadableError("several frames")
    if int(data.Rows) * int(data.Columns) > MAX_PIXELS:
        raise UnreadableError("too many pixels")


def _coloured(data: Any, values: NDArray) -> NDArray:
    """Numbers of a palette (H, W) → its colours (H, W, 3); whatever else pydicom decodes is grey or RGB by now."""
    from pydicom.pixels import apply_color_lut

    return apply_color_lut(values, data) if data.PhotometricInterpretation == "PALETTE COLOR" else values


def _windowed(data: Any, values: NDArray) -> NDArray[np.uint8]:
    """Stored values (H, W) → uint8, by rescale and the first window that the file declares (DICOM PS3.3 C.11.2.1.2)."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = apply_modality_lut(_without_padding(data, values), data)
    if data.get("VOILUTSequence"):
        return eight_bits(apply_voi(values, data))
    centre, width = _first(data.get("WindowCenter")), _first(data.get("WindowWidth"))
    if centre is None or width is None or width <= 1:
        return eight_bits(values)
    if str(data.get("VOILUTFunction") or "LINEAR").upper() == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre) / width))
    else:
        share = (values.astype(np.float64) - (centre - 0.5)) / (width - 1) + 0.5
    return np.rint(share.clip(0, 1) * 255).astype(np.uint8)


def _without_padding(data: Any, values: NDArray) -> NDArray:
    """Values with the declared padding, which is no attenuation and may lie far from it, moved to the picture's own range
    (DICOM PS3.3 C.7.5.1.1.2)."""
    padding = data.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return values
    limit = data.get("PixelPaddingRangeLimit")
    low, high = sorted((padding, limit if isinstance(limit, int) else padding))
    picture = values[(values < low) | (values > high)]
    return values.clip(picture.min(), picture.max()) if picture.size else values


def _first(value: Any) -> float | None:
    """The first of a tag's values as a number, or None."""
    if value is None or value == "":
        return None
    try:
        return float(value[0]) if hasattr(value, "__len__") and not isinstance(value, str) else float(value)
    except (TypeError, ValueError, IndexError):
        return None
