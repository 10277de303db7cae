"""Training pictures for the segmenter: the phantom's chests, made far more varied than any clinic.

Only the anatomy is kept plausible; proportions, pose, disease, devices, tone and noise go well beyond real ones, so that
real pictures look to the network like one more variation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.data.phantom import lesions
from nas.data.phantom.acquisition import blur
from nas.data.phantom.anatomy import Body, Chest, draw_body, draw_pose, render, soft_step
from nas.data.phantom.draw import Draw, Field
from nas.data.phantom.tags import glyph, paste

_BODY, _PICTURE = 101, 102  # streams of random numbers, apart from the phantom's
_CHUNK = 16


def varied_chests(n: int, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures uint8 (n, size, size) and lung masks bool (n, size, size), the part behind the heart included."""
    images, masks = np.empty((n, size, size), np.uint8), np.empty((n, size, size), bool)
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        pictures, lungs = _draw(seed, rows, size)
        images[rows], masks[rows] = np.rint(pictures * 255), lungs
    return images, masks


def _draw(seed: int, rows: NDArray[np.int64], size: int) -> tuple[Field, NDArray[np.bool_]]:
    draw = Draw(seed, _PICTURE, rows)
    body, disease = _varied_body(Draw(seed, _BODY, rows)), lesions.draw_disease(draw)
    chest = render(body, draw_pose(draw, spread=1.9), size)
    attenuation = chest.attenuation + lesions.distractors(chest, draw, size)
    attenuation += chest.lungs * _opacities(disease, chest, draw, size)
    attenuation += _devices(chest, draw) + _bowel(chest, draw, size) + _head_and_arms(chest, draw)
    pictures = _film(np.maximum(attenuation, 0), draw, size)
    for picture, letters in zip(pictures, _letters(draw), strict=True):
        for text, corner, inset, level in letters:
            paste(picture, glyph(text, round(size * 0.07)), corner, inset, level)
    return _border(pictures, draw), chest.lungs > 0.5


def _varied_body(draw: Draw) -> Body:
    """Proportions beyond the phantom's: among them children's high, steep domes."""
    body = draw_body(draw, spread=1.7)
    steep = draw.chance(0.5) * draw.uniform(0, 0.2)
    return replace(body, dome=body.dome - 0.6 * steep, angle=body.angle + steep)


def _opacities(disease: lesions.Disease, chest: Chest, draw: Draw, size: int) -> Field:
    """Disease of every extent, up to whole lungs filled until they are as dense as the abdomen."""
    focal = draw.chance(0.35) * lesions.pneumonia(disease, chest, draw, size) * chest.air
    diffuse = draw.chance(0.35) * lesions.covid(disease, chest, draw, size) * chest.air
    side = np.where(chest.u > 0, draw.uniform(0, 1), draw.uniform(0, 1))
    whole = draw.chance(0.22) * side * draw.uniform(0.1, 0.5) * np.clip(1 + 0.5 * draw.smooth(6, size), 0, 2)
    level = draw.uniform(-0.1, 0.6)
    effusion = draw.chance(0.05) * draw.uniform(0.2, 0.6) * soft_step(chest.v - level, 0.15) * (chest.u * draw.sign() > 0)
    return focal + diffuse + whole + effusion


def _devices(chest: Chest, draw: Draw) -> Field:
    """Catheters, leads with electrodes, a pacemaker's box."""
    total = np.zeros_like(chest.u)
    for _ in range(3):
        u, slope, bow = draw.uniform(-0.8, 0.8), draw.uniform(-0.9, 0.9), draw.uniform(-0.6, 0.6)
        end = draw.uniform(-0.4, 1.2)
        off = np.abs(chest.u - u - slope * chest.v - bow * chest.v * chest.v)
        total += draw.chance(0.3) * draw.uniform(0.1, 0.4) * np.clip(1.6 - off / 0.018, 0, 1) * (chest.v < end)
        disc = np.hypot(chest.u - draw.uniform(-0.9, 0.9), chest.v - draw.uniform(-0.8, 0.8))
        total += draw.chance(0.3) * draw.uniform(0.2, 0.7) * soft_step(0.05 - disc, 0.015)
    side = np.maximum(np.abs(chest.u - 0.5 * draw.sign()), np.abs(chest.v + 0.45))
    return total + draw.chance(0.06) * 0.7 * soft_step(0.11 - side, 0.02)


def _bowel(chest: Chest, draw: Draw, size: int) -> Field:
    """Gas under the diaphragm: dark as lung, but not lung; and a broad change of the belly's brightness."""
    below = soft_step(-chest.depth - 0.03, 0.03) * soft_step(chest.v - 0.2, 0.1)
    gas = soft_step(draw.smooth(7, size) - draw.uniform(0.6, 1.6), 0.2)
    return below * (draw.uniform(-0.28, 0.25) - draw.chance(0.5) * 0.45 * gas)


def _head_and_arms(chest: Chest, draw: Draw) -> Field:
    """A chin or skull over the upper edge, raised arms beside the neck: common in children's pictures."""
    dome = 1 - np.hypot(chest.u / draw.uniform(0.3, 0.6), (chest.v + draw.uniform(1.1, 1.5)) / 0.35)
    raised = soft_step(0.13 - np.abs(np.abs(chest.u) - 0.85 - 0.35 * (chest.v + 0.7)), 0.03) * (chest.v < -0.35)
    return draw.chance(0.25) * draw.uniform(0.2, 0.8) * soft_step(dome, 0.08) + draw.chance(0.25) * 0.5 * raised


def _film(attenuation: Field, draw: Draw, size: int) -> Field:
    """Any exposure: tone, uneven shading, window clipping, blur, grain."""
    down = np.linspace(-1, 1, size, dtype=np.float32)
    shade = draw.uniform(-0.12, 0.12) * down[None, :, None] + draw.uniform(-0.08, 0.08) * down[None, None, :]
    picture = 1 - np.exp(-draw.uniform(0.8, 2.2) * attenuation)
    picture = np.exp(draw.uniform(0.5, 1.9) * np.log(np.maximum(picture, 1e-4)))
    picture = picture + shade + 0.09 * draw.uniform(0, 1) * draw.smooth(3, size)
    low, high = draw.uniform(-0.15, 0.15), draw.uniform(0.75, 1.2)
    picture = (picture - low) / (high - low) + draw.uniform(0, 0.05) * draw.white(size, size)
    return np.clip(blur(picture, draw.uniform(0, 1) * draw.chance(0.6)), 0, 1)


def _letters(draw: Draw) -> list[list[tuple[str, tuple[int, int], tuple[float, float], float]]]:
    """Up to two tags for each picture: text, corner, inset, brightness."""
    columns = [(draw.uniform(0, 1), draw.index(4), draw.uniform(0, 0.2), draw.uniform(0, 0.2), draw.index(4)) for _ in range(2)]
    texts = ("R", "L", "AP", "PA")
    rows = []
    for i in range(len(draw)):
        tags = []
        for wanted, corner, across, down, text in columns:
            if wanted[i, 0, 0] < 0.4:
                place = (1 if corner[i, 0, 0] % 2 else -1, 1 if corner[i, 0, 0] // 2 else -1)
                tags.append((texts[text[i, 0, 0]], place, (float(across[i, 0, 0]), float(down[i, 0, 0])), 1.0))
        rows.append(tags)
    return rows


def _border(pictures: Field, draw: Draw) -> Field:
    """Black or white bars along some edges: collimation, letterboxes."""
    size = pictures.shape[1]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    level = np.where(draw.chance(0.2), np.float32(1), np.float32(0.02))
    for position in (axis[None, :, None], 1 - axis[None, :, None], axis[None, None, :], 1 - axis[None, None, :]):
        bar = draw.chance(0.15) * draw.uniform(0.01, 0.10)
        pictures = np.where(position < bar, level, pictures)
    return pictures
