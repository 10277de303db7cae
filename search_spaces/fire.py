"""Fire modules: a 1×1 squeeze, then 1×1 and k×k expansions side by side (Iandola et al., SqueezeNet, 2016), here with batch
normalisation, without which such networks hardly train from nothing; optional additive bypass within a stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from search_spaces.catalogue import register_space
from search_spaces.networked import Spec
from search_spaces.operations import Operations
from search_spaces.space import Values
from search_spaces.staged import StagedSpace

_WIDTHS = (
    (16, 32, 48, 64, 96, 128),
    (32, 48, 64, 96, 128, 192, 256),
    (48, 64, 96, 128, 192, 256, 384),
    (64, 96, 128, 192, 256, 384, 512),
)


@register_space("fire")
class FireSpace(StagedSpace):
    """Fire modules in four stages, as in SqueezeNet: per block its squeeze width and kernel."""

    name = "fire"
    version = 1
    minimum_image_size = 32
    top: ClassVar = {"stem.width": (16, 24, 32, 48, 64, 96), "stem.kernel": (3, 5, 7), "long_range": ("off", "add")}
    depths = (3, 3, 4, 4)
    widths = _WIDTHS
    block: ClassVar = {"squeeze": (8, 16, 24, 32, 48, 64, 96), "kernel": (3, 5)}

    def _active(self, values: Values) -> list[int]:
        always = self._always if self._bypassed(values) else [at for at in self._always if at != self._at("long_range")]
        return always + self._stages_active(values)

    def _canonical(self, values: Values) -> Values:
        if not self._bypassed(values):
            values[self._at("long_range")] = self._off[self._at("long_range")]
        return super()._canonical(values)

    def _bypassed(self, values: Values) -> bool:
        """Whether any block may be bypassed: one that is not the first of its stage."""
        return any(values[depth] > 1 for depth in self._depth)

    def _specs(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Spec]:
        channels = values[self._at("stem.width")]
        add = values[self._at("long_range")] == "add"
        specs: list[Spec] = [("stem", in_channels, channels, values[self._at("stem.kernel")])]
        for stage in range(len(self.depths)):
            width = values[self._width[stage]]
            for place, first in enumerate(self._alive(values, stage)):
                before = "pool" if stage and not place else "direct"
                specs.append(("block", channels, width, before, "sum" if add and place else "none", *values[first : first + 2]))
                channels = width
        specs.append(("head", channels, classes))
        return specs

    @staticmethod
    def _operations(spec: Spec, size: int) -> tuple[Operations, Operations | None]:
        match spec:
            case ("stem", inputs, width, kernel):
                return (*_unit(inputs, width, kernel, 2), ("maxpool", 3, 2, 1)), None
            case ("head", channels, classes):
                return (("gap",), ("linear", channels, classes, True)), None
            case ("block", inputs, outputs, before, shortcut, squeeze, kernel):
                half = outputs // 2
                pool: Operations = (("maxpool", 3, 2, 1),) if before == "pool" else ()
                expand = ("fork", _unit(squeeze, half, 1), _unit(squeeze, outputs - half, kernel))
                return (*pool, *_unit(inputs, squeeze, 1), expand), () if shortcut == "sum" else None
        raise ValueError(f"unknown block {spec!r}")

    def _width_names(self) -> Iterator[str]:
        return (name for name in self.names if name.endswith((".width", ".squeeze")))


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> Operations:
    return ("conv", inputs, outputs, kernel, stride, 1, False), ("norm", outputs), ("act", "relu")
