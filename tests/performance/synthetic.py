"""Random landscapes to choose the generator's design on, so that the published tables only confirm it.

``synthetic-KIND-INSTANCE`` names one; every instance has costs and scores of its own, and its budget is the 25th (even) or the
50th (odd) percentile of the costs. A score is structure + random pairwise interactions + a residual that no structure explains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product

import numpy as np

from nas.generator.columns import Array, Places, cell_paths

INTERACTIONS, RESIDUAL = 0.4, 0.15  # standard deviations beside a structure of standard deviation one
Structure = Callable[[Places, np.random.Generator], tuple[Array, Array]]  # places → (costs, scores)


def landscape(kind: str, instance: int) -> tuple[tuple[int, ...], Array, Array]:
    """Numbers of choices of each decision, and costs and scores (n,) of all combinations in lexicographic order."""
    sizes, structure = KINDS[kind]
    rng = np.random.default_rng([sum(map(ord, kind)), instance])
    places = np.array(list(product(*map(range, sizes))))
    costs, scores = structure(places, rng)
    pairs = np.zeros(len(places))
    for first, second in combinations(range(len(sizes)), 2):
        pairs += rng.normal(size=(sizes[first], sizes[second]))[places[:, first], places[:, second]]
    residual = rng.normal(size=len(places))
    return sizes, costs, _standard(scores) + INTERACTIONS * _standard(pairs) + RESIDUAL * residual


def _additive(sizes: Sequence[int]) -> Structure:
    """Each choice has a cost and a worth of its own, correlated; saturating in the sum."""

    def structure(places: Places, rng: np.random.Generator) -> tuple[Array, Array]:
        costs, scores = np.zeros(len(places)), np.zeros(len(places))
        for decision, size in enumerate(sizes):
            cost = np.sort(rng.lognormal(sigma=0.7, size=size))
            worth = 0.7 * _standard(cost) + 0.7 * rng.normal(size=size)
            costs += cost[places[:, decision]]
            scores += rng.lognormal(sigma=0.5) * worth[places[:, decision]]
        return costs, -np.exp(-0.5 * _standard(scores))

    return structure


def _cell(places: Places, rng: np.random.Generator) -> tuple[Array, Array]:
    """Edges of a cell: what flows along its paths is the product of its operations' gains; the first operation is none."""
    gain = np.concatenate([[0.0], rng.lognormal(sigma=0.5, size=4)])
    cost = np.concatenate([[0.0], np.sort(rng.lognormal(sigma=1.0, size=4)) * (rng.random(4) < 0.8)])
    flows = np.sum([np.prod(gain[places[:, path]], axis=1) for path in cell_paths(places.shape[1])], axis=0)
    return cost[places].sum(axis=1), np.log(flows + 0.05)


def _stages(places: Places, rng: np.random.Generator) -> tuple[Array, Array]:
    """Three stages in a row, each of diminishing returns in what its blocks add; the first choice adds nothing."""
    adds, costs = np.sort(rng.lognormal(size=2)), np.sort(rng.lognormal(size=2))
    gain = np.concatenate([[0.0], adds])[places] * rng.lognormal(sigma=0.3, size=places.shape[1])
    stages = [gain[:, :2], gain[:, 2:5], gain[:, 5:]]
    scores = sum(rng.lognormal(sigma=0.5) * np.log(0.3 + stage.sum(axis=1)) for stage in stages)
    return np.concatenate([[0.1], costs])[places].sum(axis=1), np.asarray(scores)


def _standard(values: Array) -> Array:
    return (values - values.mean()) / max(float(values.std()), 1e-9)


MIXED = (2, 5, 3, 6, 4, 2, 7)
KINDS: dict[str, tuple[tuple[int, ...], Structure]] = {
    "pairs": ((3,) * 8, _additive((3,) * 8)),
    "mixed": (MIXED, _additive(MIXED)),
    "cell": ((5,) * 6, _cell),
    "stages": ((3,) * 8, _stages),
}
