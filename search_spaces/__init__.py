"""Search spaces: what can be built and what it costs. Importing this package imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Architecture": "architecture",
    "Budget": "budget",
    "Cost": "cost",
    "BlockCost": "cost",
    "SearchSpace": "space",
    "DecisionSpace": "decisions",
    "get_space": "catalogue",
    "space_names": "catalogue",
    "register_space": "catalogue",
    "load_architecture": "catalogue",
    "ToolkitError": "errors",
    "InputError": "errors",
    "ArchitectureError": "errors",
    "BudgetInfeasibleError": "errors",
    "OverBudgetError": "errors",
    "UncountedOperatorError": "errors",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"search_spaces.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
