"""What all tests of one audit share: the engine, the images, clean answers, donors, margins and random streams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.edits import get_fill
from nas.inquisitor.design import Integers, Roster, SwapDesign, build_design
from nas.inquisitor.engine import Engine, Exhibits, margins, spread, to_float
from nas.inquisitor.margins import Margins
from nas.inquisitor.regions import chest_region

Level = Literal["screen", "full"]


@dataclass(frozen=True)
class Settings:
    """How much work an audit does.

    Attributes:
        recipients: images that receive swaps; ``entries``: recipient × donor-block combinations aimed at;
        blocks_per_recipient: at most so many donors of every class for one recipient.
        fills: how a removed region is filled; a verdict must hold under each.
        permutations: shuffles of donor labels. map_recipients, map_cells: size of the regional map.
    """

    recipients: int = 500
    entries: int = 2000
    blocks_per_recipient: int = 4
    fills: tuple[str, ...] = ("ring", "laplace")
    permutations: int = 999
    map_recipients: int = 150
    map_cells: int = 6


SCREEN = Settings(recipients=100, entries=200, blocks_per_recipient=2, fills=("ring",), permutations=199)
FULL = Settings()


@dataclass(eq=False)
class Case:
    """One model on one set of images, opened once and questioned by every test.

    Attributes:
        exhibits: images under audit that have a usable mask. donors: where swaps take from (the same, or others).
        logits: float32 (n, classes), answers on the clean images.
        auditable: indices of classes with enough groups.
    """

    engine: Engine
    exhibits: Exhibits
    donors: Exhibits
    classes: tuple[str, ...]
    logits: NDArray[np.float32]
    auditable: tuple[int, ...]
    margins: Margins
    settings: Settings
    level: Level
    seed: int
    memory: dict[Any, Any] = field(default_factory=dict)
    locks: dict[Any, Lock] = field(default_factory=dict)  # one a key: making one thing may ask for another

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, computed on the first call with this key only, whichever thread that comes from."""
        with self.locks.setdefault(key, Lock()):
            if key not in self.memory:
                self.memory[key] = make()
        return self.memory[key]

    def rng(self, *names: object) -> np.random.Generator:
        """A random stream of its own for every name, derived from the audit's seed."""
        return np.random.default_rng([self.seed, *_digits(names)])

    def generator(self, *names: object) -> torch.Generator:
        """As :meth:`rng`, for torch, on the engine's device."""
        seed = int(self.rng(*names).integers(0, 2**62))
        return torch.Generator(self.engine.device).manual_seed(seed)

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """Clean log-odds of every class against the rest, float64 (n, classes), comparable over networks."""
        return self.engine.comparable(margins(self.logits), self.exhibits.rows)

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """Spread of the clean log-odds, float64 (classes,): the unit of effects."""
        return spread(self.z)

    @cached_property
    def design(self) -> SwapDesign:
        """Who gives to whom; one design for all swaps but one, so that their effects compare. First asked for while all classes are auditable."""
        return self._design(self.auditable or range(len(self.classes)), matched=True)

    @cached_property
    def unmatched(self) -> SwapDesign:
        """The same donors in blocks that take no notice of the lungs' area: for the test of that area itself."""
        return self._design(self.design.classes, matched=False)

    def _design(self, needed: Collection[int], *, matched: bool) -> SwapDesign:
        count = max(1, min(self.settings.recipients, len(self.exhibits)))
        each = max(1, min(self.settings.blocks_per_recipient, -(-self.settings.entries // count)))
        return build_design(
            self._roster(self.exhibits), self._roster(self.donors), classes=len(self.classes), count=count,
            blocks_per_recipient=each, rng=self.rng("design"), needed=needed, matched=matched,
        )  # fmt: skip

    def _roster(self, exhibits: Exhibits) -> Roster:
        """What the design needs to know: donors and recipients are matched on the lungs' area."""
        area = exhibits.masks.flatten(1).float().mean(dim=1).double().cpu().numpy()
        return Roster(exhibits.labels, exhibits.groups, area, self.engine.strata(exhibits.rows))

    @cached_property
    def regions(self) -> Tensor:
        """The lungs with what lies between and around them, bool (n, 1, H, W): evidence there is legitimate."""
        return chest_region(self.exhibits.masks)

    @cached_property
    def giving(self) -> Integers:
        """Donors in use, positions int64 (d,)."""
        return np.union1d(self.design.donors, self.unmatched.donors)

    def numbers(self, donors: Integers) -> Tensor:
        """The numbers of donors, positions int64 (n,), among those in use, as an index on the engine's device."""
        return self.tensor(np.searchsorted(self.giving, donors))

    @cached_property
    def donor_images(self) -> Tensor:
        """Donors in use, uint8 (d, 1, H, W)."""
        return self.donors.images[self.tensor(self.giving)]

    @cached_property
    def donor_masks(self) -> Tensor:
        """Lungs of the donors in use, bool (d, H, W)."""
        return self.donors.masks[self.tensor(self.giving)]

    def backgrounds(self, how: str) -> Tensor:
        """Donors in use with their lung regions filled, uint8 (d, 1, H, W): one byte a pixel, so that thousands fit."""
        return self.once(("backgrounds", how), lambda: self._fill_donors(how))

    def _fill_donors(self, how: str) -> Tensor:
        images, generator = self.donor_images, self.generator("backgrounds", how)
        regions, fill = chest_region(self.donor_masks), get_fill(how)
        size = self.engine.batch_size(images.shape[-1])
        parts = [
            fill(to_float(images[start : start + size]), regions[start : start + size], generator)
            for start in range(0, len(images), size)
        ]
        return torch.cat([(part.clamp(0, 1) * 255).round().to(torch.uint8) for part in parts])

    def tensor(self, positions: Integers) -> Tensor:
        """Positions as an index on the engine's device."""
        return torch.as_tensor(positions, device=self.engine.device)


def _digits(names: tuple[object, ...]) -> list[int]:
    return list(hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()[:8])
