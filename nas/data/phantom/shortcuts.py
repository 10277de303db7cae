"""Planted shortcuts: cues of a known kind and strength that predict the target class and have nothing to do with disease.

A cue of strength ρ is present with probability (1 + ρ)/2 in images of the target class and (1 − ρ)/2 in all others: at
ρ = 0 half of all images carry it whatever their label, which is what an honest model is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.data.phantom.acquisition import Exposure
from nas.data.phantom.anatomy import Body, Chest
from nas.data.phantom.draw import Draw, Field, Flags
from nas.data.phantom.tags import glyph, paste, ring
from search_spaces.errors import InputError

KINDS = ("marker", "marker2", "frame", "obstruction", "style", "line", "size")
ON_FILM = ("marker", "marker2", "frame", "obstruction")  # drawn over the finished picture


@dataclass(frozen=True)
class Shortcut:
    """One planted cue.

    Attributes:
        kind: one of ``KINDS``. marker: letters near the upper right corner; marker2: a boxed ring near the lower left one;
            frame: a bright stripe along two edges; obstruction: a dark wedge over a lower corner; style: gamma and
            sharpness; line: a catheter inside the lung; size: larger lungs.
        strength: ρ in [0, 1].
        salience: factor on the cue's contrast or size.
    """

    kind: str
    strength: float
    salience: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"shortcut {self.kind!r} is not known; choose one of {', '.join(KINDS)}")
        if not 0 <= self.strength <= 1:
            raise InputError(f"shortcut strength must lie in 0..1, but got {self.strength:g}; write for example marker@0.8")
        if not 0 < self.salience <= 3:
            raise InputError(f"shortcut salience must lie in (0, 3], but got {self.salience:g}; 1 is the usual contrast")

    @classmethod
    def parse(cls, text: str) -> Shortcut:
        """Read ``kind@strength`` or ``kind@strength:salience``; a bare kind has strength 0.95."""
        kind, _, rest = text.strip().partition("@")
        strength, _, salience = (rest or "0.95").partition(":")
        try:
            return cls(kind, float(strength), float(salience or 1))
        except ValueError as error:
            raise InputError(f"shortcut {text!r} must read kind@strength, for example marker@0.8") from error

    def __str__(self) -> str:
        salience = "" if self.salience == 1 else f":{self.salience:g}"
        return f"{self.kind}@{self.strength:g}{salience}"


def parse_shortcuts(value: str | Shortcut | Iterable[str | Shortcut] | None) -> tuple[Shortcut, ...]:
    """Read one shortcut or several (joined by ``+`` or ``,``); a kind may occur once."""
    if value is None or value == "" or value == "none":
        return ()
    parts = value.replace(",", "+").split("+") if isinstance(value, str) else [value] if isinstance(value, Shortcut) else value
    found = tuple(part if isinstance(part, Shortcut) else Shortcut.parse(part) for part in parts)
    kinds = [shortcut.kind for shortcut in found]
    if len(set(kinds)) < len(kinds):
        raise InputError(f"shortcut {'+'.join(kinds)!r} names a kind twice; each kind may occur once")
    return found


def body_with_cue(body: Body, cue: Flags, salience: float) -> Body:
    """``size``: lungs about 7 % wider and longer with the cue, as much smaller without."""
    factor = np.where(cue, np.float32(1), np.float32(-1)) * np.float32(0.07 * salience)
    return replace(
        body,
        width=body.width * (1 + factor),
        apex=body.apex * (1 + 0.5 * factor),
        dome=body.dome + factor,
        tissue=np.maximum(body.tissue - body.width * factor, 0.01),
    )


def exposure_with_cue(exposure: Exposure, cue: Flags, salience: float) -> Exposure:
    """``style``: darker mid-tones, sharper and a little noisier with the cue; the opposite without."""
    sign = np.where(cue, np.float32(1), np.float32(-1)) * np.float32(salience)
    return replace(
        exposure,
        gamma=exposure.gamma * (1 + 0.18 * sign),
        blur=np.clip(exposure.blur - 0.25 * sign, 0, 1),
        noise=exposure.noise * (1 + 0.25 * sign),
    )


def line_in_lung(chest: Chest, cue: Flags, draw: Draw, salience: float) -> tuple[Field, NDArray[np.bool_]]:
    """``line``: attenuation of a thin catheter well inside one lung and where it lies, both (n, h, w)."""
    u = draw.uniform(0.33, 0.5) * draw.sign()
    slope, bow, start = draw.uniform(-0.15, 0.15), draw.uniform(-0.1, 0.1), draw.uniform(-0.45, -0.2)
    size = chest.u.shape[1]
    thickness = max(0.016, 1.6 / size)
    off = np.abs(chest.u - u - slope * (chest.v - start) - bow * (chest.v - start) ** 2) / np.float32(thickness)
    along = (chest.v > start) & (chest.v < start + 0.6) & (chest.depth > 0.06) & (chest.lungs > 0.99)
    shape = np.clip(1.6 - off, 0, 1) * along * cue
    return shape * np.float32(0.28 * salience), shape > 0


def draw_on_film(kind: str, pictures: Field, cue: Flags, draw: Draw, salience: float) -> NDArray[np.bool_]:
    """``marker``, ``marker2``, ``frame``, ``obstruction``: change pictures (n, h, w) in place; returns where, bool (n, h, w)."""
    across, down, scale = draw.uniform(0.02, 0.10), draw.uniform(0.02, 0.08), draw.uniform(0.9, 1.15)
    level = draw.uniform(0.95, 1.0)
    where = np.zeros(pictures.shape, bool)
    size = pictures.shape[1]
    for i in np.flatnonzero(cue[:, 0, 0]):
        inset = (float(across[i, 0, 0]), float(down[i, 0, 0]))
        side = round(0.105 * size * float(scale[i, 0, 0]) * salience)
        brightness = float(level[i, 0, 0])
        if kind == "marker":
            where[i] = paste(pictures[i], glyph("AP", side), (1, -1), inset, brightness)
        elif kind == "marker2":
            where[i] = paste(pictures[i], ring(round(1.25 * side)), (-1, 1), inset, brightness)
        elif kind == "frame":
            where[i] = _stripe(pictures[i], inset[0], brightness * min(salience, 1))
        else:
            where[i] = _wedge(pictures[i], 0.22 * float(scale[i, 0, 0]) * salience)
    return where


def _stripe(picture: NDArray[np.float32], inset: float, level: float) -> NDArray[np.bool_]:
    """A bright stripe along the left and the upper edge."""
    size = picture.shape[0]
    width = max(round(0.03 * size), 1)
    start = min(round(0.25 * inset * size), size - width)
    where = np.zeros(picture.shape, bool)
    where[start : start + width, start:] = True
    where[start:, start : start + width] = True
    picture[where] = np.maximum(picture[where], level * 0.92)
    return where


def _wedge(picture: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """A dark wedge over the lower right corner."""
    size = picture.shape[0]
    axis = (np.arange(size) + 0.5) / size
    where = (1 - axis[:, None]) + (1 - axis[None, :]) < share
    picture[where] = 0.05
    return where
