"""From a plan (who, which class, which hospital, which cues) to pixels: anatomy, disease, exposure, film, in that order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.phantom import lesions, shortcuts
from nas.data.phantom.acquisition import STYLES, collimate, draw_exposure, expose
from nas.data.phantom.anatomy import Chest, draw_body, draw_pose, render
from nas.data.phantom.draw import Draw, Field
from nas.data.phantom.shortcuts import Shortcut
from nas.data.phantom.tags import glyph, paste

MAPS = ("lungs", "lesion", "annotation", "marker")
_PATIENT, _IMAGE, _FIRST_CUE = 1, 2, 16  # streams of random numbers; each kind of cue has its own from _FIRST_CUE on
_POSE_SPREAD = 1.4  # pictures that lie too well on one another can be read pixel by pixel, without seeing
_LESION_THRESHOLD = 0.02  # attenuation above which a pixel counts as lesion


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before pixels are drawn; the arrays have a row for each image."""

    seed: int
    size: int
    classes: tuple[str, ...]
    patients: NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    shortcuts: tuple[Shortcut, ...]
    cues: NDArray[np.bool_]  # (n, shortcuts)


@dataclass(frozen=True)
class Drawn:
    """Some images of a plan."""

    pictures: Field  # (m, h, w) in [0, 1]
    maps: dict[str, NDArray[np.bool_]]  # each of MAPS, (m, h, w)
    severity: NDArray[np.float32]  # (m,), 0 for normal
    native: NDArray[np.int64]  # (m, 2)


def draw_images(plan: Plan, rows: NDArray[np.int64]) -> Drawn:
    """Draw the given images; each depends on its own number and its patient's alone."""
    person, image, size = Draw(plan.seed, _PATIENT, plan.patients[rows]), Draw(plan.seed, _IMAGE, rows), plan.size
    cues = [_Cue(s, plan.cues[rows, k][:, None, None], _cue_draw(plan, s, rows)) for k, s in enumerate(plan.shortcuts)]
    body, disease, pose = draw_body(person), lesions.draw_disease(person), draw_pose(image, _POSE_SPREAD)
    exposure = draw_exposure(image, plan.sources[rows])
    for cue in cues:
        if cue.shortcut.kind == "size":
            body = shortcuts.body_with_cue(body, cue.present, cue.shortcut.salience)
        elif cue.shortcut.kind == "style":
            exposure = shortcuts.exposure_with_cue(exposure, cue.present, cue.shortcut.salience)
    chest = render(body, pose, size)
    names = np.array(plan.classes)[plan.labels[rows]][:, None, None]
    lesion = _lesion(disease, chest, names, image, size)
    attenuation = chest.attenuation + lesion + lesions.distractors(chest, image, size)
    planted = np.zeros(attenuation.shape, bool)
    for cue in cues:
        if cue.shortcut.kind == "line":
            line, there = shortcuts.line_in_lung(chest, cue.present, cue.draw, cue.shortcut.salience)
            attenuation, planted = attenuation + line, planted | there
    pictures = expose(attenuation, exposure, image.white(size, size))
    annotated = _annotate(pictures, plan.sources[rows], image)
    pictures = collimate(pictures, exposure.collimation)
    for cue in cues:
        if cue.shortcut.kind in shortcuts.ON_FILM:
            planted |= shortcuts.draw_on_film(cue.shortcut.kind, pictures, cue.present, cue.draw, cue.shortcut.salience)
    maps = dict(zip(MAPS, (chest.lungs > 0.5, lesion > _LESION_THRESHOLD, annotated, planted), strict=True))
    severity = np.where(names == "normal", np.float32(0), disease.severity)[:, 0, 0]
    return Drawn(pictures, maps, severity, exposure.native)


@dataclass(frozen=True)
class _Cue:
    shortcut: Shortcut
    present: NDArray[np.bool_]  # (m, 1, 1)
    draw: Draw


def _cue_draw(plan: Plan, shortcut: Shortcut, rows: NDArray[np.int64]) -> Draw:
    """Random numbers of a cue's own: planting one changes nothing else in the picture."""
    return Draw(plan.seed, _FIRST_CUE + shortcuts.KINDS.index(shortcut.kind), rows)


def _lesion(disease: lesions.Disease, chest: Chest, names: NDArray[np.str_], draw: Draw, size: int) -> Field:
    """The class's lesion within the lungs; both kinds are drawn, so that a label changes no other random number."""
    focal, diffuse = lesions.pneumonia(disease, chest, draw, size), lesions.covid(disease, chest, draw, size)
    return chest.air * ((names == "pneumonia") * focal + (names == "covid") * diffuse)


def _annotate(pictures: Field, sources: NDArray[np.int64], draw: Draw) -> NDArray[np.bool_]:
    """Side markers where the source puts them, whatever the class; returns where, bool (m, h, w)."""
    wanted, across, down = draw.uniform(0, 1), draw.uniform(0.03, 0.12), draw.uniform(0.03, 0.12)
    level, scale = draw.uniform(0.75, 1.0), draw.uniform(0.05, 0.08)
    where = np.zeros(pictures.shape, bool)
    for i, source in enumerate(sources):
        style = STYLES[source]
        if wanted[i, 0, 0] < style.annotation:
            letters = glyph("R" if style.corner[0] < 0 else "L", round(float(scale[i, 0, 0]) * pictures.shape[1]))
            inset = (float(across[i, 0, 0]), float(down[i, 0, 0]))
            where[i] = paste(pictures[i], letters, style.corner, inset, float(level[i, 0, 0]))
    return where
