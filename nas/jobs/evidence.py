"""One decision as a picture: which patches, greyed out, change the probability of the predicted class, and by how much.

Occlusion shows where the answer hangs on the pixels. It can raise a suspicion (evidence outside the lungs); it cannot acquit, and
a patch can matter merely because grey is itself unusual. ``nas audit --image`` asks harder questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nas.files import write_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn

CELLS = 12  # patches a side; neighbours overlap by half
_SIDE = 360  # pixels of each panel
_BATCH = 32


def occlusion_map(model: nn.Module, image: NDArray[np.uint8], class_index: int) -> NDArray[np.float64]:
    """Drop of the class's probability when a patch is replaced by its blurred surroundings' mean grey, float64 (12, 12).

    Args:
        image: uint8 (1, s, s).
    """
    import torch

    from nas.evaluation import in_evaluation_mode

    side = image.shape[-1]
    step = side / CELLS
    base = torch.from_numpy(image)[None].float().div(255)
    edited = base.repeat(CELLS * CELLS, 1, 1, 1)
    for cell in range(CELLS * CELLS):
        row, column = divmod(cell, CELLS)
        top, bottom = _bounds(row, step, side)
        left, right = _bounds(column, step, side)
        edited[cell, 0, top:bottom, left:right] = _surroundings(base[0, 0], top, bottom, left, right)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        clean = in_evaluation_mode(model)(base.to(device)).softmax(1)[0, class_index]
        parts = [
            model(edited[start : start + _BATCH].to(device)).softmax(1)[:, class_index]
            for start in range(0, len(edited), _BATCH)
        ]
    return (clean - torch.cat(parts)).double().cpu().numpy().reshape(CELLS, CELLS)


def _bounds(index: int, step: float, side: int) -> tuple[int, int]:
    """A patch one and a half cells wide around its cell."""
    return max(0, round((index - 0.25) * step)), min(side, round((index + 1.25) * step))


def _surroundings(image: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """Mean grey of a frame around the patch, half as wide as the patch."""
    margin = max(1, (bottom - top) // 2)
    outer = image[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    inner = image[top:bottom, left:right]
    count = outer.numel() - inner.numel()
    return (outer.sum() - inner.sum()) / count if count else inner.mean()


def evidence_picture(image: NDArray[np.uint8], drops: NDArray[np.float64], title: str, path: Path) -> None:
    """The image beside its map: orange patches spoke for the class, blue ones against it; the scale is written below."""
    import io

    grey = Image.fromarray(image[0]).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).convert("RGB")
    reach = max(float(np.abs(drops).max()), 1e-6)
    share = np.asarray(Image.fromarray((drops / reach).astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    colour = np.where(share[..., None] > 0, (240.0, 120.0, 20.0), (40.0, 120.0, 230.0))
    weight = 0.65 * np.abs(np.clip(share, -1, 1))[..., None]
    overlay = Image.fromarray((np.asarray(grey) * (1 - weight) + colour * weight).astype(np.uint8))
    sheet = Image.new("RGB", (2 * _SIDE + 30, _SIDE + 96), "white")
    sheet.paste(grey, (10, 34))
    sheet.paste(overlay, (_SIDE + 20, 34))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((10, 10), title, fill="black", font=font)
    draw.text(
        (10, _SIDE + 42),
        f"orange: greying it lowers the probability (by up to {max(drops.max(), 0):.2f})",
        fill="black",
        font=font,
    )
    draw.text(
        (10, _SIDE + 60),
        f"blue: greying it raises the probability (by up to {max(-drops.min(), 0):.2f})",
        fill="black",
        font=font,
    )
    draw.text(
        (10, _SIDE + 78), "Occlusion can raise a suspicion; it cannot acquit. Not a medical device.", fill="dimgrey", font=font
    )
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
