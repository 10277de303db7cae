"""Who gives to whom: blocks of donors, one group of each class, matched in geometry, and the recipients of every block.

A block is the unit of the null hypothesis: if nothing that a swap carries over tells the classes apart, the groups of a block
are exchangeable, so shuffling the class labels *within blocks* gives an exact test, whatever artefacts the edit leaves.
Blocks that are matched by rank are independent of one another only as far as the answers do not go by that geometry itself:
where a class's donors happen to be the larger ones, they are so in block after block. A test of geometry asks unmatched blocks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
FEWEST = 10  # groups of a class that gives in an audit


@dataclass(frozen=True, eq=False)
class Roster:
    """What the design needs to know of some images.

    Attributes:
        labels: int64 (n,). groups: str (n,). geometry: float (n,), to match on.
        strata: int64 (n,); donors give within their own stratum only (a fold of a cross-fitted audit).
    """

    labels: Integers
    groups: NDArray[np.str_]
    geometry: NDArray[np.float64]
    strata: Integers

    def take(self, positions: Integers) -> Roster:
        """Some of them, in the given order."""
        return Roster(self.labels[positions], self.groups[positions], self.geometry[positions], self.strata[positions])


@dataclass(frozen=True, eq=False)
class SwapDesign:
    """A crossed design of recipients and donor blocks.

    Attributes:
        donors: int64 (entries, slots), position of the donor of each class of each entry: an image of the block's group of
            that class, its images in turn.
        recipient: int64 (entries,), position of the recipient of each entry.
        block: int64 (entries,), its donor block. No recipient shares a group with a donor of its block.
        blocks: how many blocks there are.
        classes: the class of each slot: all but those that too few groups could give for.
    """

    donors: Integers
    recipient: Integers
    block: Integers
    blocks: int
    classes: tuple[int, ...]

    @property
    def entries(self) -> int:
        """Recipient × block combinations; each costs one forward pass per class."""
        return len(self.recipient)

    @property
    def slots(self) -> int:
        """Donors of an entry: one a class."""
        return len(self.classes)

    def slot(self, index: int) -> int:
        """The slot of a class's donors."""
        return self.classes.index(index)

    def pairs(self) -> tuple[Integers, Integers]:
        """Recipient and donor positions of every forward pass, entry by entry, slot by slot: int64 (entries · classes,)."""
        return np.repeat(self.recipient, self.slots), self.donors.reshape(-1)

    def first(self, recipients: int) -> SwapDesign:
        """The part of the design with so many recipients, evenly spread, and one block each."""
        _, entry = np.unique(self.recipient, return_index=True)
        kept = entry[np.linspace(0, len(entry) - 1, min(recipients, len(entry))).astype(np.int64)]
        return replace(self, donors=self.donors[kept], recipient=self.recipient[kept], block=self.block[kept])


def build_design(
    recipients: Roster, donors: Roster, *, classes: int, count: int, blocks_per_recipient: int, rng: np.random.Generator,
    needed: Collection[int] = (), matched: bool = True,
) -> SwapDesign:  # fmt: skip
    """Blocks of donors matched by rank of their geometry, and recipients near them in it.

    One group a slot, so that blocks are independent; as many blocks as the rarest class has groups. One that has fewer than
    ``FEWEST`` and is not needed does not give, lest a handful of blocks be all that speak of the others; where it has nobody at
    all, there are no blocks and no entries. Recipients are drawn evenly over the classes as far as they reach. Their ranks and the
    blocks' form a circle: every block is used alike, and for that recipients at either end take some donors from the other
    end. A single recipient has no rank and takes the blocks nearest to it, which are always matched.

    Args:
        count: how many images receive; blocks_per_recipient: how many blocks each (K donors of every class).
        needed: classes that give however few groups they have.
        matched: whether the groups of a block are alike in geometry, or met by chance.
    """
    found = []
    strata, giving = np.unique(recipients.strata), _giving(donors, classes, needed)
    for stratum in strata:
        to, of = np.flatnonzero(recipients.strata == stratum), np.flatnonzero(donors.strata == stratum)
        part = _within(
            recipients.take(to), donors.take(of), classes, giving, -(-count // len(strata)), blocks_per_recipient, rng, matched
        )
        found.append(replace(part, donors=of[part.donors], recipient=to[part.recipient]))
    starts = np.cumsum([0, *(part.blocks for part in found)])
    return SwapDesign(
        np.concatenate([part.donors for part in found]),
        np.concatenate([part.recipient for part in found]),
        np.concatenate([part.block + start for part, start in zip(found, starts, strict=False)]),
        int(starts[-1]),
        giving,
    )


def _giving(donors: Roster, classes: int, needed: Collection[int]) -> tuple[int, ...]:
    """The classes that give: those with enough groups, the two with most, and the needed ones; all where one has nobody."""
    groups = [len(np.unique(donors.groups[donors.labels == index])) for index in range(classes)]
    least = min(FEWEST, *sorted(groups)[-2:]) if min(groups) > 0 else 0
    return tuple(index for index, count in enumerate(groups) if count >= least or index in needed)


def _within(
    recipients: Roster, donors: Roster, classes: int, giving: tuple[int, ...], count: int, blocks_per_recipient: int,
    rng: np.random.Generator, matched: bool,
) -> SwapDesign:  # fmt: skip
    """The design of one stratum."""
    blocks, members = _blocks(donors, giving, rng, matched or len(recipients.labels) == 1)
    chosen = balanced(recipients.labels, count if len(blocks) else 0, classes, rng)
    chosen = chosen[np.argsort(recipients.geometry[chosen], kind="stable")]
    reach = max(4, len(blocks) // 4)
    entries: list[tuple[int, int]] = []
    for rank, recipient in enumerate(chosen):
        if len(chosen) == 1:
            near = np.abs(donors.geometry[blocks].mean(axis=1) - recipients.geometry[recipient]).argsort(kind="stable")
        else:
            near = (rank * len(blocks) // len(chosen) + rng.permutation(reach) - reach // 2) % len(blocks)
        kin = (donors.groups[blocks[near]] == recipients.groups[recipient]).any(axis=1)
        unique = near[~kin][np.sort(np.unique(near[~kin], return_index=True)[1])]
        entries += [(int(recipient), int(block)) for block in unique[:blocks_per_recipient]]
    table = np.array(entries, np.int64).reshape(-1, 2)
    turn = _turns(table[:, 1])
    given = [[members[donor][k % len(members[donor])] for donor in blocks[b]] for b, k in zip(table[:, 1], turn, strict=True)]
    return SwapDesign(np.array(given, np.int64).reshape(-1, len(giving)), table[:, 0], table[:, 1], len(blocks), giving)


def _turns(block: Integers) -> Integers:
    """How many entries of the same block came before each entry, int64 (entries,)."""
    order = np.argsort(block, kind="stable")
    sorted_block = block[order]
    first = np.searchsorted(sorted_block, sorted_block)
    turns = np.empty(len(block), np.int64)
    turns[order] = np.arange(len(block)) - first
    return turns


def _blocks(
    donors: Roster, giving: tuple[int, ...], rng: np.random.Generator, matched: bool
) -> tuple[Integers, dict[int, Integers]]:
    """One image of each group of each block, int64 (blocks, slots), and for each of them all images of its group and class."""
    order = rng.permutation(len(donors.labels))
    _, first = np.unique(donors.groups[order], return_index=True)  # one random image of each group
    pool = order[np.sort(first)]
    columns = [pool[donors.labels[pool] == index] for index in giving]
    count = min(len(column) for column in columns)
    kept = [column[:count] for column in columns]  # the pool is in random order already
    ranked = [column[np.argsort(donors.geometry[column], kind="stable")] for column in kept]
    blocks = np.stack(ranked if matched else kept, axis=1)
    alike = {
        int(k): np.flatnonzero((donors.groups == donors.groups[k]) & (donors.labels == donors.labels[k])) for k in blocks.flat
    }
    return blocks, alike


def balanced(labels: Integers, wanted: int, classes: int, rng: np.random.Generator) -> Integers:
    """Up to ``wanted`` positions, classes in turn until they run out."""
    columns = [rng.permutation(np.flatnonzero(labels == index)) for index in range(classes)]
    turns = [(place, index, position) for index, column in enumerate(columns) for place, position in enumerate(column)]
    return np.array([position for _, _, position in sorted(turns)[:wanted]], np.int64)
