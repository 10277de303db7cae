"""Who gives to whom: blocks of donors, one of each class, matched in geometry, and the recipients of every block.

A block is the unit of the null hypothesis: if nothing that a swap carries over tells the classes apart, the donors of a block
are exchangeable, so shuffling the class labels *within blocks* gives an exact test, whatever artefacts the edit leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Roster:
    """What the design needs to know of some images: labels int64 (n,), groups str (n,), geometry float (n,) to match on."""

    labels: Integers
    groups: NDArray[np.str_]
    geometry: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SwapDesign:
    """A crossed design of recipients and donor blocks.

    Attributes:
        donors: int64 (blocks, classes), position of the donor of each class in each block.
        recipient: int64 (entries,), position of the recipient of each entry.
        block: int64 (entries,), its donor block. No recipient shares a group with a donor of its block.
    """

    donors: Integers
    recipient: Integers
    block: Integers

    @property
    def entries(self) -> int:
        """Recipient × block combinations; each costs one forward pass per class."""
        return len(self.recipient)

    @property
    def blocks(self) -> int:
        """Blocks of donors."""
        return len(self.donors)

    @property
    def slots(self) -> int:
        """Donors in a block: one a class."""
        return int(self.donors.shape[1])

    def pairs(self) -> tuple[Integers, Integers]:
        """Recipient and donor positions of every forward pass, entry by entry, slot by slot: int64 (entries · classes,)."""
        return np.repeat(self.recipient, self.slots), self.donors[self.block].reshape(-1)

    def first(self, recipients: int) -> SwapDesign:
        """The part of the design with so many recipients, evenly spread, and one block each."""
        _, entry = np.unique(self.recipient, return_index=True)
        kept = entry[np.linspace(0, len(entry) - 1, min(recipients, len(entry))).astype(np.int64)]
        return SwapDesign(self.donors, self.recipient[kept], self.block[kept])


def build_design(
    recipients: Roster, donors: Roster, *, classes: int, count: int, blocks_per_recipient: int, rng: np.random.Generator
) -> SwapDesign:
    """Blocks of donors matched by rank of their geometry, and recipients near them in it.

    One donor a group, so that donors are independent; as many blocks as the rarest class has groups. Recipients are drawn
    evenly over the classes as far as they reach.

    Args:
        count: how many images receive; blocks_per_recipient: how many blocks each (K donors of every class).
    """
    blocks = _blocks(donors, classes, rng)
    chosen = balanced(recipients.labels, count, classes, rng)
    chosen = chosen[np.argsort(recipients.geometry[chosen], kind="stable")]
    reach = max(4, len(blocks) // 4)
    entries: list[tuple[int, int]] = []
    for rank, recipient in enumerate(chosen):
        home = rank * len(blocks) // len(chosen)
        near = (home + rng.permutation(reach) - reach // 2) % max(len(blocks), 1)
        kin = (donors.groups[blocks[near]] == recipients.groups[recipient]).any(axis=1)
        unique = near[~kin][np.sort(np.unique(near[~kin], return_index=True)[1])]
        entries += [(int(recipient), int(block)) for block in unique[:blocks_per_recipient]]
    table = np.array(entries, np.int64).reshape(-1, 2)
    return SwapDesign(blocks, table[:, 0], table[:, 1])


def _blocks(donors: Roster, classes: int, rng: np.random.Generator) -> Integers:
    order = rng.permutation(len(donors.labels))
    _, first = np.unique(donors.groups[order], return_index=True)  # one random image of each group
    pool = order[np.sort(first)]
    columns = [pool[donors.labels[pool] == index] for index in range(classes)]
    count = min(len(column) for column in columns)
    kept = [column[:count] for column in columns]  # the pool is in random order already
    return np.stack([column[np.argsort(donors.geometry[column], kind="stable")] for column in kept], axis=1)


def balanced(labels: Integers, wanted: int, classes: int, rng: np.random.Generator) -> Integers:
    """Up to ``wanted`` positions, classes in turn until they run out."""
    columns = [rng.permutation(np.flatnonzero(labels == index)) for index in range(classes)]
    turns = [(place, index, position) for index, column in enumerate(columns) for place, position in enumerate(column)]
    return np.array([position for _, _, position in sorted(turns)[:wanted]], np.int64)
