"""What can be switched in the generator. Every default holds on every space; each switch is an ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nas.generator.representation import PARTS
from search_spaces.errors import InputError


@dataclass(frozen=True)
class GeneratorOptions:
    """Options of the generator.

    Attributes:
        initial: networks proposed before the surrogate speaks (it also waits for two scores).
        start: how they are drawn: ``"diverse"`` (of a few near the budget's edge, at least 85 % of it, the one that those
            before say least about; any of them in spaces of more than 96 decisions), ``"edge"`` (any near it) or
            ``"uniform"``.
        refit_every: observations between fits of the surrogate's parameters (more, in proportion, beyond 100).
        at_most: observations that the surrogate stands on; beyond, the best half and an even choice of the rest.
        enumerate_up_to: combinations of choices up to which the feasible set is listed rather than evolved.
        parts: of the representation (see ``representation.py``).
        use_noise: whether the standard errors of scores enter.
        use_block_importances: whether importances of blocks steer what is mutated.
        use_audit: whether the constraint of the audit's screen counts; other constraints always do. On, because how far a
            network relies on a shortcut is a trait of its architecture, too: of 40 networks, four trainings each, on a phantom
            with a planted frame, the intraclass correlation of that reliance was 0.50 (95 % interval 0.34 to 0.66;
            ``tests.performance.phantom_icc``); the rule was to switch it on where the lower bound exceeds 0.2.
    """

    initial: int = 5
    start: str = "diverse"
    refit_every: int = 5
    at_most: int = 400
    enumerate_up_to: int = 40_000
    parts: tuple[str, ...] = PARTS
    use_noise: bool = True
    use_block_importances: bool = False
    use_audit: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))  # JSON turns tuples into lists
        if unknown := set(self.parts) - set(PARTS):
            raise InputError(f"generator option parts={sorted(unknown)} is unknown; choose among {', '.join(PARTS)}")
        if self.start not in ("diverse", "edge", "uniform"):
            raise InputError(f"generator option start={self.start!r} is unknown; choose 'diverse', 'edge' or 'uniform'")
        for name, least in (("initial", 2), ("refit_every", 1), ("at_most", 10), ("enumerate_up_to", 0)):
            if getattr(self, name) < least:
                raise InputError(f"generator option {name}={getattr(self, name)} is too small; give at least {least}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> GeneratorOptions:
        """From names and values; an unknown name raises ``InputError``."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise InputError(f"unknown generator option {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(**options)
