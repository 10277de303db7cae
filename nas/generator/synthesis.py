"""Generative synthesis: the generator's distribution over decisions, and how what was observed moves it.

In the terms of Wong et al. (FermiNets, arXiv 1809.05989, as restated in the COVID-Net preprint), a generator G(s; θ_G) turns
seeds s into networks N_s; it is sought such that U(G(s)) is largest subject to 1_r(G(s)) = 1 for all seeds. An inquisitor
I(G; θ_I) stimulates generated networks, observes their reactions, updates θ_I, and returns Δθ_G; θ_G ← θ_G + Δθ_G; repeat.
*Published* are these statements. *Not published* are the form of θ_G and θ_I, the stimuli and the update rule: those are ours.

Ours:

* θ_G = π, a product of categorical distributions π_d(c) over the choices c of each decision d, started from the whole space
  (uniform) or from a prototype N_0: π_d(c) = (1 − κ) / C_d + κ [c = N_0,d], κ = 0.6. A seed s is the state of a random number
  generator: G(s; θ_G) draws each decision from π_d and repairs the result, so that 1_r's budget always holds.
* U is the score of a trained network (minus the class-balanced log-loss by default). 1_r is 1 where all named constraints
  are met. Reactions are the score, its standard error, and the importances of the network's blocks.
* θ_I is the surrogate of U and 1_r over architectures: Gaussian processes g and c (``surrogate.py``) on views of an
  architecture (``representation.py``), given the observed rank scores. With Ĝ the networks of G, their mutants and random
  ones (no mutants while fewer networks are observed than a space of many decisions has decisions), or the whole feasible set
  where it can be listed, the next network to train is

      argmax_{N ∈ Ĝ} log E[max(g(N) − g*, 0)] + log P(c(N) > 0),     g* = max over observed and pending N' of E[g(N')],

  where observed means those with 1_r = 1 if there are any, and a pending N' is believed to turn out as predicted (while fewer
  are observed than a space of many decisions has decisions, g* is the least of them, so that the mean decides); the second
  term is left out where all observed break the constraints alike. The first networks, of which nothing is known, maximise the
  surrogate's prior standard deviation given those before them, among a few random ones near the budget's edge; in spaces of
  many decisions they are any near that edge.
  Of this, *published* are expected improvement (Močkus 1975; Jones et al. 1998), its product with the chance of meeting the
  constraints (Schonlau et al. 1998), the kriging believer (Ginsbourger et al. 2010) and best-candidate sampling (Mitchell
  1991); *ours* are the views, and the priors of their kernels.
* Each round, with elites E = the best fifth of the networks with 1_r = 1 (at least three), weighted u_N ∝ exp(rank score),

      Δπ_d = η · h_b(d) · (Σ_{N ∈ E} u_N [N_d = c] − π_d(c)),       η = 0.3,

  an estimation-of-distribution (cross-entropy) step. h_b is 1, or, where the feedback of block importances is on, the
  standardised distance of block b's value per FLOP from the average block's, in [0.2, 1]: a block whose value per FLOP
  stands out, in either direction, has most to gain from being widened or narrowed (after MorphNet, CVPR 2018), and the same
  numbers say how often its decisions are mutated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.generator.columns import Array

if TYPE_CHECKING:
    from nas.generator.history import Observation
    from search_spaces import Architecture, Budget
    from search_spaces.space import SearchSpace

RATE = 0.3
PROTOTYPE = 0.6
FLOOR = 0.2
ELITE = 0.2
Probabilities = dict[str, Array]


class GeneratorDistribution:
    """θ_G: for each decision, the probabilities of its choices.

    Args:
        space: whose decisions they are.
        prototype: where to start from; ``None``: from the whole space.
    """

    def __init__(self, space: SearchSpace, prototype: Architecture | None = None) -> None:
        self._space = space
        self.probabilities: Probabilities = {}
        for name, choices in space.decisions.items():
            uniform = np.full(len(choices), 1.0 / len(choices))
            if prototype is not None and prototype[name] in choices:
                uniform = (1 - PROTOTYPE) * uniform
                uniform[choices.index(prototype[name])] += PROTOTYPE
            self.probabilities[name] = uniform
        # All choices of all decisions in one line, each decision's after the last, and one place more for what is no choice.
        ends = np.cumsum([len(choices) + 1 for choices in space.decisions.values()])
        self._ends = ends.tolist()
        starts = zip(space.decisions.values(), [0, *self._ends], strict=False)
        self._places = [{choice: start + at for at, choice in enumerate(choices)} for choices, start in starts]
        self._rows: dict[str, list[int]] = {}

    def draw(self, rng: np.random.Generator, budget: Budget | None) -> Architecture:
        """G(s; θ_G): a network drawn from the distribution and repaired to the budget."""
        choices = {
            name: options[int(np.searchsorted(np.cumsum(self.probabilities[name])[:-1], rng.random(), side="right"))]
            for name, options in self._space.decisions.items()
        }
        architecture = self._space.architecture(choices)
        return architecture if budget is None else self._space.repair(architecture, budget, rng)

    def update(self, elites: Sequence[Architecture], weights: Array, block_weights: Mapping[str, float]) -> Probabilities:
        """θ_G ← θ_G + Δθ_G; returns Δθ_G.

        Args:
            elites, weights: networks and their weights u_N, summing to one.
            block_weights: decision → h; missing ones are 1.
        """
        step: Probabilities = {}
        rows = np.array([self._row(elite) for elite in elites])
        shares = np.bincount(rows.ravel(), np.repeat(weights, rows.shape[1]), self._ends[-1])
        for name, end, options in zip(self._space.decisions, self._ends, self._space.decisions.values(), strict=True):
            target = shares[end - 1 - len(options) : end - 1]
            known = float(target.sum())  # less than one where a published point lies between the choices
            rate = RATE * block_weights.get(name, 1.0)
            step[name] = rate * (target - known * self.probabilities[name])
            self.probabilities[name] = self.probabilities[name] + step[name]
        return step

    def _row(self, architecture: Architecture) -> list[int]:
        """The place of each decision's choice in the line of all."""
        row = self._rows.get(architecture.key)
        if row is None:
            pairs = zip(self._places, architecture.values(), self._ends, strict=True)
            row = self._rows[architecture.key] = [places.get(value, end - 1) for places, value, end in pairs]
        return row

    def to_json(self) -> dict[str, list[float]]:
        """Decision → probabilities in the order of its choices."""
        return {name: [float(p) for p in values] for name, values in self.probabilities.items()}

    def load(self, data: Mapping[str, Sequence[float]]) -> None:
        """Take over what ``to_json`` gave."""
        self.probabilities = {name: np.array(data[name], dtype=float) for name in self._space.decisions}


def elites_of(observations: Sequence[Observation], scores: Array) -> tuple[list[int], Array]:
    """Indices of the best fifth of the networks that meet all constraints, best first, and their weights."""
    allowed = [i for i, observation in enumerate(observations) if observation.violation <= 0]
    allowed = sorted(allowed or range(len(observations)), key=lambda i: -scores[i])
    best = allowed[: max(3, round(ELITE * len(allowed)))]
    weights = np.exp(scores[best] - scores[best].max())
    return best, weights / weights.sum()


def block_weights(
    space: SearchSpace, observations: Sequence[Observation], budget: Budget | None
) -> tuple[dict[str, float], dict[str, float]]:
    """How often to change each decision, and each block's value per FLOP, from the importances that were observed.

    A block's value per FLOP is the mean over networks of its importance divided by its share of the network's FLOPs.
    Both are empty where no importances are known.
    """
    ratios: dict[str, list[float]] = {}
    for observation in observations:
        if not observation.block_importances:
            continue
        cost = space.cost(observation.architecture, None if budget is None else budget.image_size)
        for block in cost.blocks:
            importance = observation.block_importances.get(block.name)
            if importance is not None and block.flops > 0:
                ratios.setdefault(block.name, []).append(max(importance, 0.0) / (block.flops / max(cost.flops, 1)))
    if len(ratios) < 2:
        return {}, {}
    values = {name: float(np.mean(of_block)) for name, of_block in ratios.items()}
    logs = np.log(np.array(list(values.values())) + 1e-6)
    distance = np.abs(logs - logs.mean())
    heights = FLOOR + (1 - FLOOR) * distance / max(float(distance.max()), 1e-9)
    by_block = dict(zip(values, heights.tolist(), strict=True))
    owners = {name: space.block_of(name) for name in space.decisions}
    return {name: _of_block(by_block, owner) for name, owner in owners.items()}, values


def round_entry(
    observations: Sequence[Observation],
    elites: Sequence[int],
    step: Probabilities,
    distribution: GeneratorDistribution,
    space: SearchSpace,
    values_per_flop: Mapping[str, float],
) -> dict[str, Any]:
    """The explanation of one update, as plain data: what moved most, towards what, because of which networks."""
    moved = sorted(step, key=lambda name: -float(np.abs(step[name]).max()))[:5]
    return {
        "observations": len(observations),
        "elites": [observations[i].architecture.key for i in elites],
        "best": [float(v) for v in observations[elites[0]].values],
        "moved": [
            {
                "decision": name,
                "block": space.block_of(name),
                "towards": space.decisions[name][int(np.argmax(step[name]))],
                "by": float(step[name].max()),
                "probability": float(distribution.probabilities[name][int(np.argmax(step[name]))]),
            }
            for name in moved
        ],
        "total_step": float(sum(np.abs(change).sum() / 2 for change in step.values())),
        "value_per_flop": dict(values_per_flop),
    }


def _of_block(heights: Mapping[str, float], owner: str | None) -> float:
    """A decision of a whole stage takes the mean of the stage's blocks."""
    if owner is None:
        return 1.0
    inside = [height for block, height in heights.items() if block == owner or block.startswith(f"{owner}.")]
    return float(np.mean(inside)) if inside else 1.0
