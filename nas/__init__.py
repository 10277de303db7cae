"""Neural architecture search for chest X-ray classifiers, with an audit of what each candidate decides from.

``nas.search``, ``nas.audit`` and ``nas.benchmark`` are the three jobs; they are imported when first used, so that
``import nas`` (and ``nas --help``) loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.jobs.audit import audit as audit
    from nas.jobs.benchmark import benchmark as benchmark
    from nas.jobs.search import search as search

__all__ = ["audit", "benchmark", "search"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"nas.jobs.{name}"), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
