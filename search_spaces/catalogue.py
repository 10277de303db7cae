"""The search spaces by name: ours, those of installed packages, and the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.errors import ArchitectureError, InputError
from search_spaces.registry import Registry
from search_spaces.space import SearchSpace

SpaceFactory = Callable[..., SearchSpace]  # called with classes=, in_channels=, image_size=
OWN = ("pepx", "mbconv", "fire")


def _load_own() -> None:
    for module in OWN:
        import_module(f"search_spaces.{module}")


_SPACES: Registry[SpaceFactory] = Registry("search space", "pepx_nas.spaces", _load_own)


def register_space(name: str) -> Callable[[Any], Any]:
    """Decorator for a space's class (or any callable that makes one) taking ``classes``, ``in_channels``, ``image_size``."""
    return _SPACES.register(name)


def space_names() -> list[str]:
    """The names of all known spaces."""
    return _SPACES.names()


def get_space(name: str, classes: int = 3, in_channels: int = 1, image_size: int | None = None) -> SearchSpace:
    """The space called ``name`` for networks with these sizes.

    Raises:
        InputError: no such space, or an image size that it cannot take.
    """
    if classes < 1 or in_channels < 1:
        raise InputError(f"classes={classes} and in_channels={in_channels} must be at least 1")
    return _SPACES.get(name)(classes=classes, in_channels=in_channels, image_size=image_size)


def load_architecture(data: Mapping[str, Any]) -> Architecture:
    """The inverse of ``Architecture.to_json``.

    Raises:
        ArchitectureError: anything that is no architecture of a known space, with what is wrong.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("space"), str):
        raise ArchitectureError("an architecture is a mapping with 'space', 'version' and 'choices'; this is none")
    try:
        space = _reader(_SPACES.get(data["space"]))
    except InputError as error:
        raise ArchitectureError(str(error)) from error
    return space.from_json(data)


@lru_cache(maxsize=64)
def _reader(factory: SpaceFactory) -> SearchSpace:
    """A space of default sizes, for reading: the files say their own."""
    return factory(classes=3, in_channels=1, image_size=None)
