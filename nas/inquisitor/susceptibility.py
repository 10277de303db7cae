"""T12: how readily does an *architecture* take up shortcuts? Retrained on cues of rising strength; the slope of its reliance.

An objective for a search, never a verdict: it says nothing about any one set of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from baselines.recipe import Recipe
from nas.evaluation import DeviceData, train
from nas.inquisitor.planted import RECIPE, images, reliance
from nas.records import Interval
from nas.statistics.intervals import t_interval
from search_spaces.errors import InputError

STRENGTHS = (0.0, 0.5, 0.9)
_STREAM = 12  # of seeds, apart from the self-test's


@dataclass(frozen=True)
class Susceptibility:
    """Reliance on a planted cue by its strength.

    Attributes:
        slope: σ of the log-odds that the cue moves more, for a strength that rises from 0 to 1. interval: over seeds.
        reliance: effect of the cue in σ, one row a seed, one column a strength.
    """

    kind: str
    strengths: tuple[float, ...]
    slope: float
    interval: Interval
    reliance: tuple[tuple[float, ...], ...]


def susceptibility(
    build: Callable[[], nn.Module],
    kind: str = "marker",
    *,
    strengths: Sequence[float] = STRENGTHS,
    seeds: int = 3,
    n: int = 1500,
    recipe: Recipe = RECIPE,
) -> Susceptibility:
    """Train ``build()`` on the phantom with a cue at every strength, ``seeds`` times, and measure what the cue does to it.

    Args:
        build: an untrained network for two classes, float (n, 1, 48, 48) → logits (n, 2).
        kind: one of ``nas.inquisitor.planted.KINDS``. n: training images of each.

    Raises:
        InputError: fewer than two strengths or seeds: no slope, or no interval.
    """
    if len(set(strengths)) < 2 or seeds < 2:
        raise InputError(
            f"a slope with an interval needs at least 2 strengths and 2 seeds, but got {len(set(strengths))} and {seeds}"
        )
    table = np.array([[_one(build, kind, strength, seed, n, recipe) for strength in strengths] for seed in range(seeds)])
    centred = np.asarray(strengths) - np.mean(strengths)
    slopes = table @ centred / (centred @ centred)  # least squares, one a seed
    error = float(slopes.std(ddof=1) / np.sqrt(seeds))
    return Susceptibility(
        kind, tuple(strengths), float(slopes.mean()),
        t_interval(float(slopes.mean()), error, seeds - 1, 0.95, "t over seeds"),
        tuple(tuple(round(float(value), 5) for value in row) for row in table),
    )  # fmt: skip


def _one(build: Callable[[], nn.Module], kind: str, strength: float, seed: int, n: int, recipe: Recipe) -> float:
    data = DeviceData(images(kind, strength, n, 1000 * _STREAM + seed))  # one seed, one set of patients at every strength
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build()
    train(model, data, np.arange(n), np.arange(0), recipe, seed=seed)
    return reliance(model.eval(), kind)
