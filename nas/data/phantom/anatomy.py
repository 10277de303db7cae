"""The chest without disease: body, lungs, heart, bones and vessels as attenuation over a pixel grid.

Coordinates are the patient's: u to the right of the image, v downwards, the spine at u = 0, one unit about half the
thorax. Attenuation is what the beam loses (air 0, soft tissue about 1); brightness comes later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.data.phantom.draw import Draw, Field


@dataclass(frozen=True)
class Body:
    """One patient's proportions, each (n, 1, 1); ``draw_body`` says their ranges."""

    width: Field  # half-width of the thorax
    apex: Field  # v of the lung tips
    widest: Field  # v where the thorax is widest
    roundness: Field  # exponent of the rib cage's outline
    taper: Field  # how much the cage narrows below its widest level
    gap: Field  # half-width of the spine between the lungs
    dome: Field  # v of the diaphragm's dome
    tilt: Field  # left dome lower (+) or higher (−) than the right one
    angle: Field  # depth of the costophrenic angle
    heart: Field  # relative heart size
    aorta: Field  # relative size of the aortic knob
    tissue: Field  # thickness of the soft tissue
    breast: Field  # 0: none
    bone: Field  # contrast of the bones
    rib_pitch: Field  # distance between ribs
    rib_slope: Field
    rib_phase: Field
    vessels: Field  # contrast of the vessels
    vessel_phase: Field
    arms: Field  # 0: out of the picture, 1: beside the trunk


def draw_body(draw: Draw, spread: float = 1.0) -> Body:
    """Draw proportions; ``spread`` > 1 goes beyond ordinary adults (children, supine and lordotic views, emphysema)."""

    def around(mean: float, deviation: float) -> Field:
        return draw.bell(mean, deviation * spread)

    return Body(
        width=around(0.80, 0.05),
        apex=around(-0.80, 0.05),
        widest=around(0.30, 0.09),
        roundness=around(2.3, 0.22),
        taper=np.maximum(around(0.05, 0.05), 0),
        gap=around(0.115, 0.018),
        dome=around(0.52, 0.06),
        tilt=around(0.04, 0.03),
        angle=np.maximum(around(0.24, 0.06), 0.02),
        heart=around(1.08, 0.12),
        aorta=np.maximum(around(1.0, 0.3), 0.0),
        tissue=around(0.13, 0.04),
        breast=draw.chance(0.45) * draw.uniform(0.05, 0.22),
        bone=np.maximum(around(1.0, 0.22), 0.2),
        rib_pitch=around(0.185, 0.012),
        rib_slope=around(0.30, 0.07),
        rib_phase=draw.uniform(0, 1),
        vessels=np.maximum(around(1.0, 0.3), 0.1),
        vessel_phase=draw.uniform(0, 6.28),
        arms=draw.chance(0.45) * draw.uniform(0.4, 1.0),
    )


@dataclass(frozen=True)
class Pose:
    """How one exposure sees the patient, each (n, 1, 1)."""

    zoom: Field
    aspect: Field
    shift_u: Field
    shift_v: Field
    rotation: Field  # radians


def draw_pose(draw: Draw, spread: float = 1.0) -> Pose:
    """Draw a pose; ``spread`` > 1 includes off-centre, tilted and tightly cropped pictures."""
    return Pose(
        zoom=draw.bell(0.93, 0.05 * spread),
        aspect=draw.bell(1.0, 0.04 * spread),
        shift_u=draw.bell(0.0, 0.045 * spread),
        shift_v=draw.bell(0.06, 0.05 * spread),
        rotation=draw.bell(0.0, 0.035 * spread),
    )


def grid(pose: Pose, size: int) -> tuple[Field, Field]:
    """Patient coordinates (u, v) of every pixel, each (n, size, size)."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = axis[None, None, :], axis[None, :, None]
    cosine, sine = np.cos(pose.rotation), np.sin(pose.rotation)
    x, y = x - pose.shift_u, y - pose.shift_v
    return (cosine * x + sine * y) / (pose.zoom * pose.aspect), (cosine * y - sine * x) * pose.aspect / pose.zoom


def soft_step(distance: Field, width: float | Field) -> Field:
    """0 → 1 as a signed distance goes from −width to +width."""
    return np.clip(distance * (0.5 / width) + 0.5, 0, 1)


def _fourth(x: Field) -> Field:
    squared = x * x
    return squared * squared


@dataclass(frozen=True)
class Chest:
    """Pixel fields (n, h, w) of a rendered chest."""

    u: Field
    v: Field
    attenuation: Field  # with the lungs' air taken out
    lungs: Field  # soft lung coverage, the part behind the heart included
    air: Field  # attenuation that the air of the lungs takes away: what a lesion can give back
    depth: Field  # distance to the rib cage and the diaphragm, positive inside: small = peripheral


def render(body: Body, pose: Pose, size: int) -> Chest:
    """Draw the healthy chest."""
    u, v = grid(pose, size)
    t = np.abs(u)
    left = u > 0  # the patient's left
    lateral = _cage(body, v)
    diaphragm = _diaphragm(body, t, left)
    depth = np.minimum(lateral - t, diaphragm - v)
    tip = np.maximum(0.30 - t, 0)
    depth = np.minimum(depth, (v - body.apex - 2.2 * tip * tip) * 1.3)
    pixel = 1.5 / size
    lungs = soft_step(depth, pixel) * soft_step(t - body.gap - 0.03 * v, pixel)

    trunk = _trunk(body, t, v)
    attenuation = trunk * (0.62 + 1.4 * body.tissue)
    attenuation += trunk * 0.34 * soft_step(v - diaphragm, 0.03)  # abdomen
    attenuation -= _gas(body, u, v, diaphragm)
    attenuation += _middle(body, u, v)
    attenuation += _breasts(body, t, v)
    air = 0.72 * np.sqrt(np.clip(depth * 5, 0, 1)) * (1 - 0.3 * soft_step(-0.55 - v, 0.2))
    air *= 1 - 0.9 * _heart(body, u, v)
    air *= lungs
    attenuation -= air
    attenuation += lungs * (0.16 * body.vessels) * _vessels(body, u, v)
    attenuation += body.bone * (trunk * _bones(body, t, v, lateral))
    return Chest(u, v, np.maximum(attenuation, 0), lungs, air, depth)


def _cage(body: Body, v: Field) -> Field:
    """Half-width of the thorax at level v: rounded above its widest level, nearly straight below."""
    above = np.clip((body.widest - v) / (body.widest - body.apex), 0, 1)
    rounded = 0.26 + (body.width - 0.26) * np.sqrt(1 - np.power(above, body.roundness))
    return rounded - body.taper * np.clip(v - body.widest, 0, 1) ** 2 * 4


def _diaphragm(body: Body, t: Field, left: Field) -> Field:
    """Level of the diaphragm over each point: a dome, deep at the costophrenic angle."""
    middle = 0.42 * body.width + 0.04
    lateral = np.clip((t - middle) / (body.width - middle), 0, 1.2)
    medial = np.clip((middle - t) / middle, 0, 1)
    return body.dome + left * body.tilt + body.angle * lateral * lateral * lateral + 0.05 * medial * medial


def _trunk(body: Body, t: Field, v: Field) -> Field:
    """Coverage of the body: trunk, shoulders, neck, arms."""
    shoulders = 0.17 + (body.width + 0.42 - 0.17) * np.sqrt(soft_step(v - (body.apex - 0.24), 0.2))
    armpit = np.clip(body.apex + 0.5 - v, 0, 0.5)
    trunk = body.width + body.tissue + 1.6 * armpit * armpit
    inside = np.minimum(shoulders, trunk + 0.02) - t
    covered = soft_step(inside, 0.03)
    arm = soft_step(0.15 - np.abs(t - trunk - 0.22 - 0.1 * v), 0.04) * body.arms * (v > body.apex + 0.2)
    return np.maximum(covered, arm)


def _heart(body: Body, u: Field, v: Field) -> Field:
    """Coverage of the heart: a tilted egg, mostly on the patient's left."""
    du, dv = u - 0.13 * body.heart, v - (body.dome - 0.16)
    along, across = du * 0.80 + dv * 0.60, dv * 0.80 - du * 0.60
    radius = np.sqrt((along / (0.40 * body.heart)) ** 2 + (across / (0.27 * body.heart)) ** 2)
    return soft_step(1 - radius, 0.09)


def _middle(body: Body, u: Field, v: Field) -> Field:
    """Spine, great vessels and windpipe."""
    spine = np.exp(-_fourth(u / 0.105))
    discs = 1 + 0.25 * np.sin(v * 45 + body.rib_phase * 6.28)
    top = 0.19 - 0.05 * np.clip(-v - 0.4, 0, 1)
    vessels = np.exp(-_fourth((u - 0.02) / top)) * soft_step(v + 0.72, 0.2)
    knob = np.exp(-(((u - 0.17) / 0.085) ** 2 + ((v + 0.24) / 0.10) ** 2))
    trachea = np.exp(-((u / 0.045) ** 2)) * soft_step(-0.12 - v, 0.08)
    return spine * discs * 0.16 * body.bone + vessels * 0.2 + knob * 0.22 * body.aorta - trachea * 0.16


def _gas(body: Body, u: Field, v: Field, diaphragm: Field) -> Field:
    """The stomach's gas bubble under the left dome."""
    bubble = np.exp(-(((u - 0.42) / 0.17) ** 2 + ((v - body.dome - 0.2) / 0.085) ** 2) * 1.4)
    return bubble * 0.3 * np.clip(body.aorta - 0.6, 0, 1) * (v > diaphragm)


def _breasts(body: Body, t: Field, v: Field) -> Field:
    """Soft tissue over the lower fields: brighter inside a crescent that ends sharply below."""
    radius = np.sqrt(((t - 0.47) / 0.38) ** 2 + ((v - 0.25) / 0.36) ** 2)
    return body.breast * soft_step(1 - radius, 0.12) * (0.5 + 0.6 * np.clip(v, 0, 1))


def _vessels(body: Body, u: Field, v: Field) -> Field:
    """Branching shadows that spread from the hila and thin out."""
    du = np.abs(u) - 0.2
    dv = v - 0.02
    radius = np.sqrt(du * du + dv * dv) + 1e-3
    angle = np.arctan2(dv, du) + 0.25 * np.sign(u)
    trunk = np.cos(angle * 5 + 2.2 * np.sin(radius * 7 + body.vessel_phase) + body.vessel_phase)
    twigs = np.cos(angle * 13 + 2.6 * np.sin(radius * 11 - body.vessel_phase))
    branches = _fourth(np.maximum(trunk, 0)) * np.exp(-radius * 2.6) + 0.55 * _fourth(np.maximum(twigs, 0)) * np.exp(
        -radius * 1.7
    )
    return branches + 1.1 * np.exp(-((radius / 0.14) ** 2))


def _bones(body: Body, t: Field, v: Field, lateral: Field) -> Field:
    """Ribs behind (sloping down outwards), ribs in front (the other way, fainter), collar bones."""
    reach = soft_step(lateral + 0.035 - t, 0.02)
    share = t / np.maximum(lateral, 0.2)
    behind = v - body.rib_slope * (0.9 * share * share - 0.25 * share) + body.rib_phase * body.rib_pitch
    front = v + body.rib_slope * 0.9 * share * share + body.rib_phase * 0.1
    wave = np.float32(2 * np.pi) / body.rib_pitch
    ribs = soft_step(np.cos(behind * wave) - 0.15, 0.35) * soft_step(t - 0.09, 0.03)
    fore = soft_step(np.cos(front * wave * 0.95) - 0.2, 0.4) * soft_step(share - 0.45, 0.12) * soft_step(v + 0.5, 0.2)
    ends = soft_step(0.75 - v, 0.15) * soft_step(v - body.apex + 0.02, 0.05)
    bow = body.apex + 0.24 - 0.20 * t + 0.10 * np.sin(t * 5.5)
    collar = soft_step(0.032 - np.abs(v - bow), 0.014) * soft_step(0.98 - t, 0.04) * soft_step(t - 0.10, 0.03)
    return (0.115 * ribs + 0.06 * fore) * reach * ends + 0.15 * collar
