"""What the generator believes about networks it has not seen: scores and constraints by surrogates, and a candidate's worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.generator.acquisition import log_expected_improvement, log_probability_positive, scalarise
from nas.generator.columns import Array
from nas.generator.history import History, Observation
from nas.generator.options import GeneratorOptions
from nas.generator.representation import Representation
from nas.generator.surrogate import Inputs, Posterior, Surrogate, rank_normal

if TYPE_CHECKING:
    from search_spaces import Architecture

FIT_ON = 200  # observations that the surrogate's parameters are fitted to, at most


@dataclass(frozen=True)
class Targets:
    """What a surrogate is to learn: ``scores`` and their known ``variances``, float64 (n,) each."""

    scores: Array
    variances: Array


class Beliefs:
    """Surrogates over one representation. What they say depends on the history alone, not on what was asked before.

    Args:
        representation: of the space under its budget.
        options: of the generator.
    """

    def __init__(self, representation: Representation, options: GeneratorOptions) -> None:
        self.representation = representation
        self._options = options
        self._fits: dict[str, tuple[tuple[Observation, ...], Surrogate]] = {}
        self._posteriors: dict[str, tuple[Surrogate, Inputs, tuple[str, ...], Posterior]] = {}

    def worth(self, history: History, points: Inputs, direction: Array) -> Array:
        """log of (expected improvement × chance of meeting the constraints) at points, float64 (m,).

        Pending networks are believed to turn out as predicted (the kriging believer of Ginsbourger et al. 2010): nothing is
        left to learn at them and little near them, and what is proposed meanwhile has to improve on the best of them, too.

        As long as ``little`` is known, improvement counts from the worst network that was seen: in effect the mean decides.
        The uncertainty about networks that differ in a hundred decisions is the same for all but the oddest.

        Args:
            points: columns of the candidates; the same tuple again costs little.
            direction: float64 (objectives,), weights of several objectives.
        """
        observations = history.observations
        posterior, scores, rows = self._posterior("score", history, points, direction)
        smooth = posterior.smoothed(scores)
        met = np.array([observations[i].violation <= 0 for i in rows])
        improved_on = smooth[met] if met.any() else smooth  # where none meets them, quality still counts beside the chance
        incumbent = min(smooth) if self.little(history) else max([*improved_on, *posterior.believed(scores)])
        improvement = log_expected_improvement(*posterior.predict(scores), incumbent)
        # where all fail alike, nothing says where they would not
        told_apart = len({observations[i].violation for i in rows}) > 1
        return improvement + self._chance(history, points, direction) if told_apart else improvement

    def little(self, history: History) -> bool:
        """Whether decisions are so many that they share weights, and the observed networks fewer than they."""
        return self.representation.tied and len(history.observations) < self.representation.decisions

    def ignorance(self, known: Sequence[Architecture], networks: Sequence[Architecture]) -> Array:
        """How little the known networks (at least one) say about others, whatever they score: float64 (n,).

        It is the standard deviation under the surrogate's prior, so no score is needed.
        """
        posterior = Posterior(self._prior(), self.representation.encode(networks))
        posterior = posterior.observe(self.representation.encode(known), np.zeros(len(known)))
        return posterior.predict(np.zeros(len(known)))[1]

    def _prior(self) -> Surrogate:
        return Surrogate(self.representation.parts, self.representation.noise)

    def _chance(self, history: History, points: Inputs, direction: Array) -> Array:
        posterior, margins, _ = self._posterior("constraints", history, points, direction)
        return log_probability_positive(*posterior.predict(margins))

    def amplitudes(self, observations: Sequence[Observation], direction: Array) -> dict[str, float]:
        """Variance of the scores that each part of the representation explains, as fitted to the last milestone."""
        early = observations[: milestones(len(observations), self._options)[-1]]
        return self._fit("score", early, self.targets("score", early, direction)).amplitudes

    def targets(self, what: str, observations: Sequence[Observation], direction: Array) -> Targets:
        """Rank-normal scores, or distances to the constraints' bounds; larger is better for both."""
        if what == "constraints":
            violations = np.array([o.violation for o in observations])
            return Targets(np.where(violations > 0, -np.clip(violations, 0.25, 1.0), 1.0), np.zeros(len(observations)))
        values = np.array([o.values for o in observations], dtype=float)
        errors = np.array([o.standard_error for o in observations]) * float(self._options.use_noise)
        if values.shape[1] > 1:
            ranks = np.stack([rank_normal(column, np.zeros(len(column)))[0] for column in values.T], axis=1)
            values, errors = scalarise(ranks, direction)[:, None], np.zeros(len(errors))
        column = values[:, 0]
        complete = np.array([o.complete for o in observations])
        if complete.any():  # a pruned network is no better than the median of those that were not
            column = np.where(complete, column, np.minimum(column, np.median(column[complete])))
        return Targets(*rank_normal(column, errors))

    def _posterior(self, what: str, history: History, points: Inputs, direction: Array) -> tuple[Posterior, Array, list[int]]:
        """Beliefs at points, pending networks included; the targets of the observations that were used, and which those are."""
        observations = history.observations
        milestone = milestones(len(observations), self._options)[-1]
        early = self.targets(what, observations[:milestone], direction)
        surrogate = self._fit(what, observations[:milestone], early)
        rows = [*subset(early.scores, self._options.at_most), *range(milestone, len(observations))]
        targets = self.targets(what, observations, direction)
        posterior = self._observe(what, surrogate, points, [observations[i] for i in rows], targets.variances[rows])
        if history.pending:
            posterior = posterior.observe(self.representation.encode(history.pending), np.zeros(len(history.pending)))
        return posterior, targets.scores[rows], rows

    def _observe(
        self, what: str, surrogate: Surrogate, points: Inputs, observations: Sequence[Observation], variances: Array
    ) -> Posterior:
        """The posterior given observations, grown from the last one where it was about the same."""
        keys = tuple(o.architecture.key for o in observations)
        old, old_points, known, posterior = self._posteriors.get(what, (None, (), (), Posterior(surrogate, points)))
        if old is not surrogate or keys[: len(known)] != known or variances.any():
            known, posterior = (), Posterior(surrogate, points)
        elif old_points is not points:
            posterior = posterior.at(points)
        if fresh := observations[len(known) :]:
            inputs = self.representation.encode([o.architecture for o in fresh])
            posterior = posterior.observe(inputs, variances[len(known) :])
        self._posteriors[what] = (surrogate, points, keys, posterior)
        return posterior

    def _fit(self, what: str, observations: Sequence[Observation], targets: Targets) -> Surrogate:
        """The surrogate fitted to the observations up to the last milestone; kept until the next."""
        stamp = tuple(observations)
        several = len(observations[0].values) > 1  # then the scores change with the direction
        if what in self._fits and self._fits[what][0] == stamp and not several:
            return self._fits[what][1]
        rows = subset(targets.scores, FIT_ON)
        inputs = self.representation.encode([observations[i].architecture for i in rows])
        surrogate = self._prior()
        surrogate.fit(inputs, targets.scores[rows], targets.variances[rows], iterations=40 if len(rows) <= 100 else 15)
        self._fits[what] = (stamp, surrogate)
        return surrogate


def milestones(n: int, options: GeneratorOptions) -> list[int]:
    """Numbers of observations, up to ``n`` (at least one), at which the surrogate is fitted and the generator updated."""
    found = [min(options.initial, n)]
    while (following := found[-1] + max(options.refit_every, found[-1] // 20)) <= n:
        found.append(following)
    return found


def subset(scores: Array, most: int) -> list[int]:
    """Indices of at most ``most`` observations, in order: the best half of ``most``, and evenly chosen ones of the rest."""
    if len(scores) <= most:
        return list(range(len(scores)))
    order = np.argsort(-scores, kind="stable")
    best, rest = order[: most // 2], np.sort(order[most // 2 :])
    even = rest[np.linspace(0, len(rest) - 1, most - len(best)).round().astype(int)]
    return sorted({*best.tolist(), *even.tolist()})
