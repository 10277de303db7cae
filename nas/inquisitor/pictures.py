"""Pictures for a person: the edits that flipped decisions, and the maps with the lungs' outlines. PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nas.files import make_folder
from nas.records import Picture

_OUTLINE = "#35b6ff"
_REGION = "#ffb000"
_HELD = "\x1f"  # a blank that no line is broken at
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Flip:
    """One edit that changed a decision: images float (H, W), what was done, and the probabilities before and after."""

    original: Image
    edited: Image
    mask: NDArray[np.bool_]
    title: str
    before: NDArray[np.float64]
    after: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Panel:
    """One image with its maps: method → (signed map (H, W), status)."""

    image: Image
    mask: NDArray[np.bool_]
    region: NDArray[np.bool_]
    title: str
    maps: dict[str, tuple[Image, str]]


def draw_flips(flips: Sequence[Flip], classes: Sequence[str], directory: Path) -> Picture:
    """Original and edited side by side, one row a flip."""
    figure = Figure(figsize=(6.4, 3.1 * len(flips)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(flips), 2, squeeze=False)
    for (left, right), flip in zip(axes, flips, strict=True):
        for axis, image, shares, head in (
            (left, flip.original, flip.before, "original"),
            (right, flip.edited, flip.after, flip.title),
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.contour(flip.mask, levels=[0.5], colors=_OUTLINE, linewidths=0.8)
            axis.set_title(fill(head, 44), fontsize=9, parse_math=False)
            axis.set_xlabel(_shares(classes, shares), fontsize=8, parse_math=False)
            axis.set_xticks([])
            axis.set_yticks([])
    _save(figure, directory / "flips.png")
    return Picture(
        path=f"{directory.name}/flips.png", title="Edits that changed the decision",
        caption="The strongest edits outside the lungs (or of their shape) that changed a decision, with the probabilities; blue: the lungs before the edit.",
    )  # fmt: skip


def _shares(classes: Sequence[str], shares: NDArray[np.float64]) -> str:
    """Every class with its probability, in lines that fit under a picture."""
    words = (f"{name.replace(' ', _HELD)}{_HELD}{share:.2f}" for name, share in zip(classes, shares, strict=True))
    return fill("  ".join(words), 48).replace(_HELD, " ")


def draw_gallery(panels: Sequence[Panel], directory: Path) -> Picture:
    """Every method's signed map on some images, lungs outlined; a void map says so."""
    names = list(panels[0].maps)
    figure = Figure(figsize=(2.2 * (1 + len(names)), 2.4 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1 + len(names), squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        row[0].imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if panel.region.any() and not panel.region.all():
            row[0].contour(panel.region, levels=[0.5], colors=_REGION, linewidths=1.4)
        row[0].set_title(fill(panel.title, 30), fontsize=8, parse_math=False)
        for axis, name in zip(row[1:], names, strict=True):
            values, status = panel.maps[name]
            peak = float(np.quantile(np.abs(values), 0.995)) or 1.0
            axis.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.imshow(values, cmap="RdBu_r", vmin=-peak, vmax=peak, alpha=0.6, interpolation="nearest")
            axis.set_title(f"{name.replace('_', ' ')}\n{status}, ±{peak:.2g}", fontsize=7)
        for axis in row:
            axis.contour(panel.mask, levels=[0.5], colors=_OUTLINE, linewidths=0.6)
            axis.set_xticks([])
            axis.set_yticks([])
    _save(figure, directory / "maps.png")
    return Picture(
        path=f"{directory.name}/maps.png", title="Where the evidence lies, by every method",
        caption="Red speaks for the decision, blue against it, in log-odds; orange: the region the network cannot do without; "
        "blue outline: lungs. A void map failed its validity gate and is no evidence.",
    )  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    make_folder(path.parent)
    figure.savefig(path, dpi=110, metadata={"Software": None})
