"""An architecture: one point of a search space, immutable, hashable, JSON-able, light enough to make thousands a second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from search_spaces.errors import InputError


class Architecture(Mapping[str, Any]):
    """One point of a search space; it reads like the mapping from decision to choice.

    Spaces make architectures; their values are canonical (what does not matter is set to its first choice), so two
    architectures are equal, and share ``key``, exactly if they describe the same network.

    Args:
        space, version: the space's name and version.
        index: decision name → position, shared by all architectures of a space.
        values: the choice of each decision, by position.
        in_channels, classes: of the network.
        identity: what the key is made from, if not the values (a decision space with its own notion of sameness): a number,
            text, or tuples and sets of these.
    """

    __slots__ = ("_identity", "_index", "_key", "classes", "in_channels", "space", "values_tuple", "version")

    def __init__(
        self,
        space: str,
        version: int,
        index: dict[str, int],
        values: tuple[Any, ...],
        in_channels: int,
        classes: int,
        identity: Any = None,
    ) -> None:
        for name, value in zip(
            self.__slots__, (identity, index, None, classes, in_channels, space, values, version), strict=True
        ):
            object.__setattr__(self, name, value)

    space: str
    version: int
    in_channels: int
    classes: int
    values_tuple: tuple[Any, ...]
    _index: dict[str, int]
    _identity: Any
    _key: str | None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an Architecture is immutable; make another one instead of setting {name}")

    def __getitem__(self, name: str) -> Any:
        return self.values_tuple[self._index[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def choices(self) -> dict[str, Any]:
        """All decisions with their choices, in the space's order."""
        return dict(zip(self._index, self.values_tuple, strict=True))

    @property
    def key(self) -> str:
        """Canonical, short and fit for a file name; shared by all spellings of the same network, in every process.

        Raises:
            InputError: the identity is of a kind that has no canonical text.
        """
        if self._key is None:
            sameness = self.values_tuple if self._identity is None else self._identity
            text = json.dumps([self.space, self.version, self.in_channels, self.classes, sameness], default=_canonical_text)
            digest = blake2b(text.encode(), digest_size=8).hexdigest()
            object.__setattr__(self, "_key", f"{_file_safe(self.space)}-{digest}")
        return self._key  # type: ignore[return-value]  # set just above

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``search_spaces.load_architecture`` reads it back."""
        return {
            "space": self.space,
            "version": self.version,
            "in_channels": self.in_channels,
            "classes": self.classes,
            "choices": self.choices,
        }

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self.key == other.key
        return Mapping.__eq__(self, other)

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.space, self.version, self._index, self.values_tuple, self.in_channels, self.classes, self._identity)
        return Architecture, arguments

    def __repr__(self) -> str:
        return f"Architecture({self.key}, in_channels={self.in_channels}, classes={self.classes})"


def _canonical_text(identity: Any) -> Any:
    """What JSON cannot write, as something that it can, the same for equal values in every process."""
    if isinstance(identity, np.generic):
        return identity.item()
    if isinstance(identity, set | frozenset):
        return ["set", *sorted(json.dumps(item, default=_canonical_text) for item in identity)]
    if isinstance(identity, bytes):
        return repr(identity)
    raise InputError(
        f"identity {identity!r} of an architecture may differ from process to process; make it of numbers, text, bytes, tuples and sets"
    )


def _file_safe(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in name)
