"""``phantom(…)``: from a seed to a data set with masks, lesions, sources, patients and, if asked, planted shortcuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, pack_masks
from nas.data.phantom.acquisition import STYLES
from nas.data.phantom.draw import Draw
from nas.data.phantom.patients import roster
from nas.data.phantom.shortcuts import KINDS, Shortcut, parse_shortcuts
from nas.data.phantom.synthesis import MAPS, Plan, draw_images
from search_spaces.errors import InputError

CLASSES = ("normal", "pneumonia", "covid")
Cue = Literal["planted", "always", "never"]
_ROSTER, _SOURCE, _CUE = 0, 3, 4  # streams of random numbers; synthesis uses others
_CHUNK_PIXELS = 2**16  # rendered at once: the working arrays stay in the processor's cache


def phantom(
    n: int = 600,
    image_size: int = 64,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    shortcut: str | Shortcut | Iterable[str | Shortcut] | None = None,
    *,
    target: str | None = None,
    cue: Cue = "planted",
    sources: int = 3,
    source_bias: float = 0.0,
) -> Dataset:
    """Make a data set of synthetic chest X-rays.

    Image i depends on the seed, i and the other options only, never on ``n``: a longer data set begins with the shorter one.

    Args:
        n: images, at least 1.
        image_size: pixels a side, 32 to 512.
        seed: any non-negative integer.
        classes: which of ``CLASSES``, in logit order, at least two.
        shortcut: planted cues such as ``"marker@0.95"`` or ``"marker@0.5+style@0.5"``; see ``shortcuts.Shortcut``.
        target: the class that the cues predict; by default ``"covid"`` if present, else the last class.
        cue: ``"planted"`` follows the shortcut's strength; ``"always"`` / ``"never"`` draw the same images with every cue
            present / absent, which is how the true effect of a cue on a model is measured.
        sources: hospitals, 3 to 6, each with its own acquisition style, drawn independently of the class.
        source_bias: probability that a patient's source is tied to the class instead (0: independent).

    Returns:
        A data set with lung masks (the part behind the heart included), ``truth["lesion"]``, ``truth["annotation"]`` (side
        markers that any image may carry), ``truth["marker"]`` (region of the planted cues; empty for style and size), and
        the metadata columns ``severity`` (0 for normal) and ``cue`` (1 where a cue is present).

    Raises:
        InputError: an option is out of its range.
    """
    planted = parse_shortcuts(shortcut)
    classes = tuple(classes)
    _check(n, image_size, seed, classes, sources, source_bias, cue)
    aim = target if target is not None else ("covid" if "covid" in classes else classes[-1])
    if aim not in classes:
        raise InputError(f"target {aim!r} is not among the classes {', '.join(classes)}; choose one of them")
    patients, labels = roster(n, len(classes), seed, _ROSTER)
    hospitals = _hospitals(patients, labels, seed, sources, source_bias)
    plan = Plan(
        seed, image_size, classes, patients, labels, hospitals, planted, _cues(planted, labels == classes.index(aim), seed, cue)
    )
    return _dataset(plan, _spec(n, image_size, seed, classes, planted, target, cue, sources, source_bias))


def _check(n: int, image_size: int, seed: int, classes: tuple[str, ...], sources: int, source_bias: float, cue: str) -> None:
    rules = (
        (n >= 1, f"n must be at least 1, but got {n}"),
        (32 <= image_size <= 512, f"image_size must lie in 32..512, but got {image_size}"),
        (seed >= 0, f"seed must not be negative, but got {seed}"),
        (3 <= sources <= len(STYLES), f"sources must lie in 3..{len(STYLES)}, but got {sources}"),
        (0 <= source_bias <= 1, f"source_bias must lie in 0..1, but got {source_bias:g}"),
        (cue in ("planted", "always", "never"), f"cue must be planted, always or never, but got {cue!r}"),
        (
            2 <= len(classes) == len(set(classes)) and set(classes) <= set(CLASSES),
            f"classes must be at least two different ones of {', '.join(CLASSES)}, but got {', '.join(classes) or 'none'}",
        ),
    )
    for holds, message in rules:
        if not holds:
            raise InputError(f"phantom: {message}")


def _spec(
    n: int, size: int, seed: int, classes: tuple[str, ...], planted: tuple[Shortcut, ...], target: str | None, cue: str,
    sources: int, bias: float,
) -> str:  # fmt: skip
    parts = {
        "n": n, "image_size": size, "seed": seed, "classes": "" if classes == CLASSES else "+".join(classes),
        "shortcut": "+".join(map(str, planted)), "target": target or "", "cue": "" if cue == "planted" else cue,
        "sources": "" if sources == 3 else sources, "source_bias": bias or "",
    }  # fmt: skip
    return "phantom:" + ",".join(f"{key}={value}" for key, value in parts.items() if value != "")


def _hospitals(patients: NDArray[np.int64], labels: NDArray[np.int64], seed: int, count: int, bias: float) -> NDArray[np.int64]:
    draw = Draw(seed, _SOURCE, patients)
    free, tied = draw.index(count)[:, 0, 0], draw.chance(bias)[:, 0, 0]
    return np.where(tied, labels % count, free)


def _cues(planted: tuple[Shortcut, ...], aimed: NDArray[np.bool_], seed: int, cue: Cue) -> NDArray[np.bool_]:
    """Whether each image carries each planted cue, bool (n, shortcuts)."""
    shape = (len(aimed), len(planted))
    if cue != "planted":
        return np.full(shape, cue == "always")
    draw = Draw(seed, _CUE, np.arange(len(aimed)))
    columns = {kind: draw.uniform(0, 1)[:, 0, 0] for kind in KINDS}
    flags = [columns[s.kind] < np.where(aimed, (1 + s.strength) / 2, (1 - s.strength) / 2) for s in planted]
    return np.stack(flags, axis=1) if flags else np.zeros(shape, bool)


def _dataset(plan: Plan, spec: str) -> Dataset:
    n, size = len(plan.labels), plan.size
    bits = -(-size * size // 8)
    images = np.empty((n, 1, size, size), np.uint8)
    maps = {name: np.zeros((n, bits), np.uint8) for name in MAPS}
    severity, native = np.zeros(n, np.float32), np.empty((n, 2), np.int64)
    step = max(_CHUNK_PIXELS // (size * size), 1)
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        drawn = draw_images(plan, rows)
        images[rows, 0] = np.rint(drawn.pictures * 255)
        for name, packed in maps.items():
            packed[rows] = pack_masks(drawn.maps[name])
        severity[rows], native[rows] = drawn.severity, drawn.native
    lungs = maps.pop("lungs")
    patient = np.array([f"phantom{plan.seed}-p{p}" for p in plan.patients])
    return Dataset(
        images=images, labels=plan.labels.copy(), classes=plan.classes, packed_masks=lungs, has_mask=np.ones(n, bool),
        group=patient, patient=patient, source=np.array([STYLES[s].name for s in plan.sources]), view=np.full(n, "PA"),
        file=np.array([f"phantom{plan.seed}-{i}" for i in range(n)]), split=np.full(n, "", dtype="<U1"), native_size=native,
        metadata={"severity": severity, "cue": np.asarray(plan.cues.any(axis=1), np.int64)}, truth=maps, spec=spec,
    )  # fmt: skip
