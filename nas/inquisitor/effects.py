"""Signed effects of donor swaps: estimate, two-way interval, exact donor-label permutation, max-T over a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.inquisitor.design import Integers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """A signed effect with its two-way standard error and permutation p-value (``None`` where not asked for)."""

    value: float
    standard_error: float
    degrees: int
    p_value: float | None = None

    def bounds(self, level: float = 0.95) -> tuple[float, float]:
        """A Student interval."""
        half = float(stats.t.ppf(0.5 + level / 2, max(self.degrees, 1))) * self.standard_error
        return self.value - half, self.value + half

    def scaled(self, factor: float) -> Effect:
        """The effect in another unit, ``factor`` old units wide; the p-value stays."""
        return Effect(self.value / factor, self.standard_error / factor, self.degrees, self.p_value)


def contrasts(responses: Floats, slot: int) -> Floats:
    """What giving from ``slot`` rather than from the other donors of the block changes, (entries,) from (entries, slots)."""
    others = np.delete(responses, slot, axis=1)
    return responses[:, slot] - others.mean(axis=1)


def two_way_error(values: Floats, first: Integers, second: Integers) -> tuple[float, int]:
    """Standard error of the mean of ``values`` with two crossed clusterings, and its degrees of freedom.

    The cluster-robust form of Cameron, Gelbach and Miller (2011): variance by the first + by the second − by their
    intersection, each with its small-sample factor; never below the larger of the two single ones. What a two-way bootstrap
    estimates, without its threefold count of the noise within cells.
    """
    residual = values - values.mean()
    by_first, count_first = _clustered(residual, first)
    by_second, count_second = _clustered(residual, second)
    both, _ = _clustered(residual, first * (int(second.max()) + 1) + second)
    variance = max(by_first + by_second - both, by_first, by_second)
    return float(np.sqrt(variance)), min(count_first, count_second) - 1


def _clustered(residual: Floats, cluster: Integers) -> tuple[float, int]:
    codes = np.unique(cluster, return_inverse=True)[1]
    sums = np.bincount(codes, weights=residual)
    count = len(sums)
    factor = count / (count - 1) if count > 1 else 1.0
    return factor * float((sums**2).sum()) / len(residual) ** 2, count


def block_table(responses: Floats, block: Integers, blocks: int) -> Floats:
    """What each slot of each block would show as the class's donor, weighted by entries: float (blocks, slots).

    The observed effect is the sum over blocks of the class's own column; a permutation picks other columns.
    """
    slots = responses.shape[1]
    table = np.zeros((blocks, slots))
    for slot in range(slots):
        table[:, slot] = np.bincount(block, weights=contrasts(responses, slot), minlength=blocks) / len(responses)
    return table


def permute_within_blocks(tables: Floats, slot: int, rng: np.random.Generator, rounds: int) -> tuple[Floats, Floats]:
    """Observed effects (maps,) and effects under shuffled donor labels (rounds, maps).

    Args:
        tables: (maps, blocks, slots) from :func:`block_table`; all maps share one shuffle, so max-T keeps their dependence.
        slot: the class whose donors are compared with the rest.
    """
    maps, blocks, slots = tables.shape
    observed = tables[:, :, slot].sum(axis=1)
    # A shuffle sends the class's label to each slot of a block with equal probability; counts of slots suffice for no map.
    null = np.empty((rounds, maps))
    rows = np.arange(blocks)
    for start in range(0, rounds, 256):
        stop = min(start + 256, rounds)
        picks = rng.integers(0, slots, size=(stop - start, blocks))
        for index in range(maps):
            null[start:stop, index] = tables[index][rows, picks].sum(axis=1)
    return observed, null


def p_values(observed: Floats, null: Floats) -> Floats:
    """Two-sided permutation p-values, (maps,), with the observed labelling counted among the shuffles."""
    reached = (np.abs(null) >= np.abs(observed) - 1e-12).sum(axis=0)
    return (1 + reached) / (1 + len(null))


def max_t_p_values(observed: Floats, null: Floats) -> Floats:
    """Family-wise p-values (maps,): each map's studentised effect against the largest of a shuffle.

    The observed labelling counts in the spread as well, as one among the shuffles: else it alone would be scaled by others only,
    and of few shuffles' maps it would be the largest too often.
    """
    spread = np.concatenate([observed[None], null]).std(axis=0)
    usable = spread > 0
    scale = np.where(usable, spread, 1.0)
    strength = np.where(usable, np.abs(observed) / scale, 0.0)
    largest = np.where(usable, np.abs(null) / scale, 0.0).max(axis=1)
    return (1 + (largest[:, None] >= strength[None] - 1e-12).sum(axis=0)) / (1 + len(null))


def swap_effect(
    responses: Floats,
    slot: int,
    recipient_group: Integers,
    block: Integers,
    blocks: int,
    rng: np.random.Generator,
    rounds: int = 999,
) -> Effect:
    """The effect on a class's log-odds of giving from its own donors rather than from the others'.

    Args:
        responses: (entries, slots), the class's log-odds with each donor of the entry's block.
    """
    values = contrasts(responses, slot)
    error, degrees = two_way_error(values, recipient_group, block)
    observed, null = permute_within_blocks(block_table(responses, block, blocks)[None], slot, rng, rounds)
    return Effect(float(values.mean()), error, degrees, float(p_values(observed, null)[0]))


def split_half_share(responses: Floats, slot: int, block: Integers, lungs: float, rng: np.random.Generator) -> float | None:
    """Share of the decision that the swapped part carries, π, from split-half donors: information, never a verdict.

    The sign comes from one half of the blocks and the size from the other, so that noise around zero is not folded upward.
    """
    values = contrasts(responses, slot)
    half = rng.permutation(int(block.max()) + 1) % 2 == 0
    inside = half[block]
    if inside.all() or not inside.any():
        return None
    first, second = float(values[inside].mean()), float(values[~inside].mean())
    signed = (np.sign(first) * second + np.sign(second) * first) / 2
    whole = abs(signed) + abs(lungs)
    return float(signed / whole) if whole > 0 else None
