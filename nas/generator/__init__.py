"""The generator: proposes networks under a budget. Importing this package imports neither Optuna nor torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "GeneratorSampler": "sampler",
    "GeneratorOptions": "options",
    "make_sampler": "registry",
    "register_sampler": "registry",
    "sampler_descriptions": "registry",
    "sampler_names": "registry",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"nas.generator.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
