"""The spaces that the contract tests sweep, reduced ones that can be enumerated, and what enumerates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from search_spaces.fire import FireSpace
from search_spaces.mbconv import MbconvSpace
from search_spaces.networked import NetworkSpace
from search_spaces.pepx import PepxSpace

NAMES = ("pepx", "mbconv", "fire")
SIZE = 32


def reduced(name: str) -> NetworkSpace:
    """A space of that name with at most a few thousand points, conditional decisions among them."""
    kinds: dict[str, Callable[..., NetworkSpace]] = {"pepx": PepxSpace, "mbconv": MbconvSpace, "fire": FireSpace}
    space = kinds[name]
    whole = space(image_size=SIZE)
    keep = {"pepx": _PEPX, "mbconv": _MBCONV, "fire": _FIRE}[name]
    choices = {decision: keep.get(decision, options[-1:]) for decision, options in whole.decisions.items()}
    choices |= {decision: (1,) for decision in choices if decision.endswith(".depth") and decision not in keep}
    return space(image_size=SIZE, choices=choices)


def every_point(space: NetworkSpace) -> list[tuple[Any, ...]]:
    """The canonical values of all points."""
    found: list[tuple[Any, ...]] = []

    def settle(values: list[Any], settled: frozenset[int]) -> None:
        pending = [position for position in space._active(values) if position not in settled]
        if not pending:
            found.append(tuple(space._canonical(list(values))))
            return
        for choice in space._choices[pending[0]]:
            settle([*values[: pending[0]], choice, *values[pending[0] + 1 :]], settled | {pending[0]})

    settle([options[0] for options in space._choices], frozenset())
    return found


def figures(space: NetworkSpace, values: Sequence[Any]) -> tuple[float, float, float]:
    return space._figures(values, SIZE, 1, 3)


_PEPX: dict[str, Sequence[Any]] = {
    "stem.width": (8,),
    "stem.stride": (2, 1),
    "long_range": ("off", "add"),
    "head.pool": ("gap",),
    "head.layers": (0, 1),
    "head.width": (64, 128),
    "stage1.width": (16, 24),
    "stage1.depth": (1, 2),
    "stage1.block1.kind": ("prpe", "plain"),
    "stage1.block1.replication": (2,),
    "stage1.block1.projection": (16, 24),
    "stage1.block2.kind": ("bottleneck",),
    "stage1.block2.projection": (16,),
    "stage2.stride": ("last", "first"),
    "stage4.width": (32,),
    "stage4.block1.kind": ("pepx", "prpe", "bottleneck", "plain"),
}
_MBCONV: dict[str, Sequence[Any]] = {
    "stem.width": (8, 16),
    "stage1.depth": (1, 2),
    "stage1.width": (8, 16),
    "stage2.block1.expansion": (1, 2, 4),
    "stage3.squeeze_excitation": (False, True),
    "stage5.width": (64, 96, 128),
    "head.width": (64, 128, 256),
}
_FIRE: dict[str, Sequence[Any]] = {
    "stem.width": (16, 32),
    "long_range": ("off", "add"),
    "stage1.depth": (1, 2),
    "stage2.depth": (1, 2),
    "stage1.block1.squeeze": (8, 16, 24),
    "stage1.block2.squeeze": (16, 24),
    "stage4.width": (64, 128, 192),
}
