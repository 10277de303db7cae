"""The samplers of a search, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from search_spaces import Budget
    from search_spaces.space import SearchSpace

SamplerFactory = Callable[..., "BaseSampler"]  # (space, budget, seed, **options)


def _load_own() -> None:
    for module in ("sampler", "stock", "evolution"):
        import_module(f"nas.generator.{module}")


_SAMPLERS: Registry[SamplerFactory] = Registry("sampler", "pepx_nas.samplers", _load_own)


def register_sampler(name: str) -> Callable[[SamplerFactory], SamplerFactory]:
    """Decorator that adds a sampler: a callable of (space, budget, seed, **options) that returns an Optuna sampler."""
    return _SAMPLERS.register(name)


def sampler_names() -> list[str]:
    """All samplers, the default first."""
    return _SAMPLERS.names()


def sampler_descriptions() -> dict[str, str]:
    """Every sampler's name with the first line of its documentation."""
    return {name: (factory.__doc__ or "").strip().partition("\n")[0] for name, factory in _SAMPLERS.items()}


def make_sampler(name: str, space: SearchSpace, budget: Budget | None, seed: int = 0, **options: Any) -> BaseSampler:
    """The sampler called ``name`` for a space, a budget and a seed; an unknown name raises ``InputError``."""
    return _SAMPLERS.get(name)(space, budget, seed, **options)
