"""The list of baselines: one file each, one registration each; installed packages add theirs by entry point."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from baselines.published import PublishedFigure
from baselines.recipe import FitData, Initialise, Recipe, TrainFunction, leave_as_built
from search_spaces.errors import InputError
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from torch import nn

OWN = (
    "cnn", "cnn_lstm", "covidnet_small", "covidnet", "covidnet_cxr2", "detrac", "vgg19", "resnet50", "covidiagnosis_net",
    "sgdm_squeezenet", "covid_resnet", "densenet169", "mobilenet_v3", "covid_next", "efficientnet_lite0",
)  # fmt: skip


class Build(Protocol):
    """Builds the network: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""

    def __call__(self, classes: int, in_channels: int, image_size: int) -> nn.Module: ...


class Fit(Protocol):
    """Trains in stages and returns the trained network; ``initialise`` gives each freshly built one its starting weights."""

    def __call__(
        self,
        train: TrainFunction,
        data: FitData,
        *,
        classes: int,
        image_size: int,
        recipe: Recipe,
        seed: int,
        in_channels: int = 3,
        initialise: Initialise = leave_as_built,
    ) -> nn.Module: ...


@dataclass(frozen=True)
class Baseline:
    """A published system.

    Attributes:
        name, title, note: how it is called, printed, and what a reader must know.
        construct: builds the network; call ``build``, which checks the sizes first.
        recipe: how its paper trains it.
        paper_size, paper_channels, paper_classes: pixels a side, input channels and classes of the published figures.
        minimum_size: smallest image side that the network can take.
        published: published figures by name (``"accuracy"``, ``"sensitivity[covid]"``, ``"parameters"``, ``"flops"``, …).
        weights: loads ImageNet weights into a built network in place, from a local folder (None: torch's own cache or
            the network), and returns what it loaded; None where there are none.
        fit: staged training; ``fit_is_method`` says that the stages are the method itself (DeTraC) and also run under a
            shared recipe, rather than a training recipe (progressive resizing) that a shared recipe replaces.
        configure: makes a variant from options (``detrac:backbone=vgg19``); None where there are no options.
        leaks: why scores of this variant are not to be trusted; "" for every honest one.
        reconstruction: the source never published the widths (or the like).
    """

    name: str
    title: str
    construct: Build
    recipe: Recipe
    paper_size: int
    paper_channels: int = 3
    paper_classes: int = 3
    minimum_size: int = 32
    published: Mapping[str, PublishedFigure] = field(default_factory=dict)
    note: str = ""
    weights: Callable[[nn.Module, Path | None], str] | None = None
    fit: Fit | None = None
    fit_is_method: bool = False
    configure: Callable[[Mapping[str, str]], Baseline] | None = None
    leaks: str = ""
    reconstruction: bool = False

    def build(self, classes: int, in_channels: int = 3, image_size: int | None = None) -> nn.Module:
        """The untrained network, float (N, 1, H, W) in [0, 1] → logits (N, classes); in_channels 3 replicates grey inside.

        Raises:
            InputError: fewer than two classes, channels other than 1 or 3, or images below the network's smallest size.
        """
        side = self.paper_size if image_size is None else image_size
        self.check(classes, in_channels, side)
        return self.construct(classes, in_channels, side)

    def check(self, classes: int, in_channels: int, image_size: int) -> None:
        """Raise ``InputError`` for sizes that the network cannot take."""
        if image_size < self.minimum_size:
            raise InputError(
                f"image size {image_size} is too small for {self.name}; it needs at least {self.minimum_size} pixels a side"
            )
        if in_channels not in (1, 3):
            raise InputError(f"in_channels must be 1 or 3, but got {in_channels}; a radiograph is grey, 3 replicates it")
        if classes < 2:
            raise InputError(f"{self.name} needs at least 2 classes, but got {classes}; name the classes to tell apart")


def _import_own() -> None:
    for module in OWN:
        importlib.import_module(f"baselines.{module}")


_registry: Registry[Baseline] = Registry("baseline", "pepx_nas.baselines", _import_own)


def register_baseline(baseline: Baseline) -> Baseline:
    """Add a baseline to the list; returns it."""
    return _registry.register(baseline.name)(baseline)


def baseline_names() -> list[str]:
    """All names, ours first."""
    return _registry.names()


def get_baseline(name: str) -> Baseline:
    """The baseline called ``name``; ``NAME:option=value+option=value`` asks for a variant of one that has options.

    Raises:
        InputError: an unknown name, an option of a baseline that has none, or a malformed or repeated option.
    """
    plain, _, options = name.partition(":")
    baseline = _registry.get(plain)
    if not options:
        return baseline
    if baseline.configure is None:
        raise InputError(f"baseline {plain!r} has no options, but got {options!r}; ask for {plain!r} alone")
    pairs = [option.partition("=") for option in options.split("+")]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise InputError(f"baseline option {key!r} is not of the form option=value (several are joined by +), in {name!r}")
    given = {key: value for key, _, value in pairs}
    if len(given) < len(pairs):
        raise InputError(f"a baseline option is given twice in {name!r}; give each once")
    return baseline.configure(given)
