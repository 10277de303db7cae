"""Inverted residuals: 1×1 expansion → k×k depthwise → linear 1×1 projection, added to the input where the width stays
(Sandler et al., MobileNetV2, 2018; with optional squeeze-and-excitation as in MobileNetV3 and EfficientNet)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from search_spaces.catalogue import register_space
from search_spaces.networked import Spec
from search_spaces.operations import Operations
from search_spaces.staged import StagedSpace

_STRIDES = (1, 2, 2, 2, 1)
_WIDTHS = (
    (8, 16, 24, 32),
    (16, 24, 32, 40, 48),
    (24, 32, 40, 48, 64, 80, 96),
    (32, 40, 48, 64, 80, 96, 128, 160, 192),
    (48, 64, 80, 96, 128, 160, 192, 256, 320),
)


@register_space("mbconv")
class MbconvSpace(StagedSpace):
    """Inverted residuals in five stages, as in MobileNetV2: per block its expansion and kernel."""

    name = "mbconv"
    version = 1
    minimum_image_size = 32
    top: ClassVar = {"stem.width": (8, 16, 24, 32, 48), "head.width": (64, 128, 256, 512, 1024, 1280)}
    depths = (2, 4, 4, 5, 4)
    widths = _WIDTHS
    stage: ClassVar = {"squeeze_excitation": (False, True)}
    block: ClassVar = {"expansion": (1, 2, 3, 4, 6), "kernel": (3, 5, 7)}

    def _specs(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Spec]:
        channels = values[self._at("stem.width")]
        specs: list[Spec] = [("stem", in_channels, channels)]
        for stage, stride in enumerate(_STRIDES):
            width, se = values[self._width[stage]], values[self._extra[stage][0]]
            for place, first in enumerate(self._alive(values, stage)):
                kind = "thin" if values[first] == 1 else "block"  # without expansion there is no first convolution
                step, shortcut = (1, "sum") if place else (stride, "none")
                specs.append((kind, channels, width, step, shortcut, se, *values[first : first + 2]))
                channels = width
        specs.append(("head", channels, values[self._at("head.width")], classes))
        return specs

    @staticmethod
    def _operations(spec: Spec, size: int) -> tuple[Operations, Operations | None]:
        match spec:
            case ("stem", inputs, width):
                return _unit(inputs, width, 3, 2), None
            case ("head", channels, width, classes):
                return (*_unit(channels, width, 1, 1), ("gap",), ("linear", width, classes, True)), None
            case ("block" | "thin" as kind, inputs, outputs, stride, shortcut, se, expansion, kernel):
                hidden = inputs * expansion
                chain = () if kind == "thin" else _unit(inputs, hidden, 1, 1)
                chain += _unit(hidden, hidden, kernel, stride, groups=hidden)
                if se:
                    chain += (("se", hidden, (inputs + 3) // 4),)
                chain += (("conv", hidden, outputs, 1, 1, 1, False), ("norm", outputs))
                return chain, () if shortcut == "sum" else None
        raise ValueError(f"unknown block {spec!r}")


def _unit(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> Operations:
    return ("conv", inputs, outputs, kernel, stride, groups, False), ("norm", outputs), ("act", "relu6")
