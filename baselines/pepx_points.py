"""Builds the COVID-Net baselines: published points of the PEPX search space, so that the design is written down once."""

from __future__ import annotations

from torch import nn

from baselines.published import PublishedFigure, size
from baselines.registry import Build
from search_spaces.published import DESIGNS


def builder(name: str) -> Build:
    """Builds the design ``name`` of ``search_spaces.published``."""

    def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
        from search_spaces import get_space

        space = get_space("pepx", classes=classes, in_channels=in_channels, image_size=image_size)
        return space.build(space.architecture(DESIGNS[name].choices, in_channels=in_channels), image_size)

    return build


def published_size(name: str) -> dict[str, PublishedFigure]:
    """The source's own parameters and multiply–accumulates."""
    own = DESIGNS[name].published
    return size(own["parameters"] / 1e6, own["flops"] / 1e9)
