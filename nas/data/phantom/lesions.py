"""What the classes differ in, and the distractors that every class may have.

Pneumonia: one focus (rarely two) of dense, smooth consolidation, mostly on one side. COVID: bilateral, peripheral and
basal ground-glass, faint and finely textured. Severity is continuous, so the mildest cases are hard for everyone.
Distractors imitate one property at a time: a hazy soft-tissue veil (as faint as ground-glass, but untextured and past the
lung's edge), crowded vessels (textured, but central), a plate of atelectasis, nipple shadows, an old scar (dense, but tiny).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.data.phantom.anatomy import Chest, soft_step
from nas.data.phantom.draw import Draw, Field

MILDEST = 0.12
"""Severity of the mildest case; 1 is the worst."""
GROUND_GLASS_CELLS = 34
"""Lattice cells of the ground-glass texture across the image: about two pixels each at 64 pixels."""


@dataclass(frozen=True)
class Disease:
    """Drawn once a patient: every image of a patient shows the same disease, each (n, 1, 1)."""

    severity: Field
    side: Field  # −1: the image's left lung leads, +1: its right
    second: Field  # strength of the other side, 0..1
    place_t: Field
    place_v: Field
    extent: Field
    stretch: Field
    basal: Field


def draw_disease(draw: Draw) -> Disease:
    """Draw the disease that a patient would have; the class decides how it looks."""
    return Disease(
        severity=MILDEST + (1 - MILDEST) * draw.uniform(0, 1),
        side=draw.sign(),
        second=draw.uniform(0, 1),
        place_t=draw.uniform(0.28, 0.66),
        place_v=draw.uniform(-0.5, 0.42),
        extent=draw.bell(0.27, 0.05),
        stretch=draw.bell(1.0, 0.18),
        basal=draw.uniform(-0.3, 0.9),
    )


def pneumonia(disease: Disease, chest: Chest, draw: Draw, size: int) -> Field:
    """Share (n, size, size) of the lung's air that focal consolidation displaces, 0 to about 1."""
    warp = 0.3 * draw.smooth(9, size)
    focus = _blob(chest, disease.side * disease.place_t, disease.place_v, disease.extent, disease.stretch, warp)
    other = disease.second < 0.15
    focus += (other * 0.7) * _blob(
        chest, -disease.side * (0.95 - disease.place_t), -0.6 * disease.place_v, disease.extent * 0.8, disease.stretch, warp
    )
    return np.minimum(focus, 1) * (0.28 + 0.72 * disease.severity)


def _blob(chest: Chest, u: Field, v: Field, radius: Field, stretch: Field, warp: Field) -> Field:
    du, dv = (chest.u - u) / (radius * stretch), (chest.v - v) * stretch / radius
    return soft_step(1 - np.sqrt(du * du + dv * dv) + warp, 0.45)


def covid(disease: Disease, chest: Chest, draw: Draw, size: int) -> Field:
    """Share (n, size, size) of the air that peripheral ground-glass in both lungs displaces, 0 to about 1."""
    rim = soft_step(0.9 * disease.extent + 0.05 - chest.depth, 0.13)
    level = 1 / (1 + np.exp(-3 * (chest.v - 0.1) * disease.basal))
    patches = soft_step(draw.smooth(5, size) + 0.7, 0.8)
    texture = draw.smooth(GROUND_GLASS_CELLS, size)
    lagging = 0.55 + 0.45 * disease.second
    sides = np.where(chest.u * disease.side > 0, np.float32(1), lagging)
    amount = np.minimum(2.0 * rim * level * patches * sides, 1)
    return amount * (0.16 + 0.55 * disease.severity) * np.maximum(1 + 0.55 * texture, 0)


def distractors(chest: Chest, draw: Draw, size: int) -> Field:
    """Attenuation (n, size, size) of what any patient may have, whatever the class."""
    total = _veil(chest, draw, size) + _crowding(chest, draw, size)
    total += _plate(chest, draw) + _nipples(chest, draw) + _scar(chest, draw)
    return total


def _veil(chest: Chest, draw: Draw, size: int) -> Field:
    """A fold or a thick shoulder muscle: smooth, faint, on one or both sides, not bounded by the lung."""
    u, v = draw.uniform(0.3, 0.75) * draw.sign(), draw.uniform(-0.7, 0.6)
    radius = draw.uniform(0.25, 0.5)
    du, dv = np.abs(chest.u) - np.abs(u), chest.v - v
    both = draw.chance(0.5)
    side = np.where(both | (chest.u * u > 0), np.float32(1), np.float32(0))
    amount = draw.chance(0.4) * draw.uniform(0.02, 0.09)
    haze = 1 + 0.25 * draw.smooth(4, size)
    return amount * side * haze * np.exp(-(du * du + dv * dv) / (radius * radius))


def _crowding(chest: Chest, draw: Draw, size: int) -> Field:
    """Crowded vessels after a shallow breath: as fine as ground-glass, but around the hila and not in the rim."""
    amount = draw.chance(0.4) * draw.uniform(0.02, 0.08)
    du, dv = np.abs(chest.u) - 0.24, chest.v - draw.uniform(0.0, 0.3)
    texture = np.maximum(1 + 0.55 * draw.smooth(GROUND_GLASS_CELLS, size), 0)
    return chest.lungs * amount * texture * np.exp(-(du * du + dv * dv) / 0.05)


def _plate(chest: Chest, draw: Draw) -> Field:
    """A plate of atelectasis: a thin, nearly level line at the base of one lung."""
    u, v = draw.uniform(0.3, 0.6) * draw.sign(), draw.uniform(0.2, 0.45)
    slope = draw.uniform(-0.35, 0.35)
    amount = draw.chance(0.25) * draw.uniform(0.05, 0.14)
    along, across = (chest.u - u) / 0.17, (chest.v - v - slope * (chest.u - u)) / 0.022
    return chest.lungs * amount * np.exp(-along * along - across * across)


def _nipples(chest: Chest, draw: Draw) -> Field:
    u, v = draw.uniform(0.40, 0.58), draw.uniform(0.22, 0.42)
    amount = draw.chance(0.3) * draw.uniform(0.06, 0.16)
    du, dv = (np.abs(chest.u) - u) / 0.035, (chest.v - v) / 0.035
    return amount * np.exp(-du * du - dv * dv)


def _scar(chest: Chest, draw: Draw) -> Field:
    """A calcified nodule or apical scar: as dense as consolidation, far smaller."""
    u, v = draw.uniform(0.25, 0.62) * draw.sign(), draw.uniform(-0.65, 0.35)
    radius = draw.uniform(0.025, 0.06)
    amount = draw.chance(0.35) * draw.uniform(0.08, 0.3)
    du, dv = (chest.u - u) / radius, (chest.v - v) / radius
    return chest.lungs * amount * np.exp(-du * du - dv * dv)
