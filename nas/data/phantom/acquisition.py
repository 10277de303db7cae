"""How a hospital turns attenuation into a picture: tone, blur, noise, collimation, side markers, pixel counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.phantom.draw import Draw, Field


@dataclass(frozen=True)
class Style:
    """A source's habits: means of what varies a little from exposure to exposure."""

    name: str
    gamma: float
    contrast: float
    blur: float  # share of a 3 × 3 binomial blur
    noise: float  # standard deviation, of the full range
    shade: float  # vertical gradient of the exposure
    collimation: float  # probability of a dark collimated border
    annotation: float  # probability of a side marker
    corner: tuple[int, int]  # where it puts the marker: (−1 left / +1 right, −1 top / +1 bottom)
    native: int  # usual pixels a side


STYLES = (
    Style("north", 1.00, 1.00, 0.15, 0.018, 0.02, 0.15, 0.7, (-1, -1), 2048),
    Style("harbour", 0.82, 0.90, 0.50, 0.028, -0.05, 0.35, 0.5, (1, -1), 1024),
    Style("hill", 1.20, 1.08, 0.05, 0.012, 0.05, 0.05, 0.8, (-1, 1), 2990),
    Style("island", 0.92, 0.82, 0.70, 0.036, 0.00, 0.45, 0.6, (1, 1), 760),
    Style("lakeside", 1.08, 1.15, 0.30, 0.022, -0.02, 0.20, 0.4, (-1, -1), 1760),
    Style("valley", 0.88, 1.05, 0.40, 0.015, 0.08, 0.30, 0.9, (1, -1), 1440),
)


@dataclass(frozen=True)
class Exposure:
    """One exposure's settings, each (n, 1, 1); ``style`` cues change them."""

    gamma: Field
    contrast: Field
    brightness: Field
    blur: Field
    noise: Field
    shade: Field
    collimation: Field  # 0 or the border's width in shares of the side
    native: NDArray[np.int64]  # (n, 2) height and width in pixels before resizing


def draw_exposure(draw: Draw, source: NDArray[np.int64]) -> Exposure:
    """Draw settings around the habits of each row's source, an index into ``STYLES``, (n,)."""

    def habit(name: str) -> Field:
        return np.array([getattr(style, name) for style in STYLES], np.float32)[source][:, None, None]

    native = habit("native") * draw.bell(1.0, 0.08)
    aspect = draw.uniform(0.82, 1.05)
    return Exposure(
        gamma=habit("gamma") * draw.bell(1.0, 0.06),
        contrast=habit("contrast") * draw.bell(1.0, 0.06),
        brightness=draw.bell(0.0, 0.025),
        blur=np.clip(habit("blur") + draw.bell(0.0, 0.08), 0, 1),
        noise=habit("noise") * draw.bell(1.0, 0.15),
        shade=habit("shade") + draw.bell(0.0, 0.02),
        collimation=draw.chance(habit("collimation")) * draw.uniform(0.015, 0.06),
        native=np.concatenate([native * aspect, native], axis=1)[..., 0].astype(np.int64),
    )


def expose(attenuation: Field, exposure: Exposure, noise: Field) -> Field:
    """Turn attenuation (n, h, w) into brightness in [0, 1]; ``noise`` is standard normal of the same shape."""
    size = attenuation.shape[1]
    down = np.linspace(-1, 1, size, dtype=np.float32)[None, :, None]
    picture = 1 - np.exp(-1.35 * attenuation)  # dense parts saturate, as film does
    picture = np.exp(exposure.gamma * np.log(np.maximum(picture, 1e-4)))
    picture = (picture - 0.45) * exposure.contrast + 0.45 + exposure.brightness + exposure.shade * down
    picture += exposure.noise * noise
    return np.clip(blur(picture, exposure.blur), 0, 1)


def blur(picture: Field, share: Field) -> Field:
    """Mix each picture with its 3 × 3 binomial blur, ``share`` (n, 1, 1) in [0, 1]."""
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    smooth = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) * np.float32(1 / 16)
    return picture + share * (smooth - picture)


def collimate(picture: Field, width: Field) -> Field:
    """Darken a border of the given width in shares of the side (0: none)."""
    size = picture.shape[1]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    edge = np.minimum(axis, 1 - axis)
    inside = (np.minimum(edge[None, :, None], edge[None, None, :]) >= width).astype(np.float32)
    return picture * (0.04 + 0.96 * inside)
