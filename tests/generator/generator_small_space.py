"""A small space with a smooth score; tests import it, so that several files share one notion of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces import Budget, DecisionSpace

BUDGET = Budget(flops=14)


def small_space(decisions: int = 6) -> DecisionSpace:
    """Decisions d0, d1, … with choices 0–3; the cost is their sum."""
    return DecisionSpace(
        "small", {f"d{i}": (0, 1, 2, 3) for i in range(decisions)}, flops=lambda choice: float(1 + sum(choice.values()))
    )


def smooth_score(choice: Mapping[str, Any]) -> float:
    """Best where early decisions are large and late ones small; larger is better."""
    values = list(choice.values())
    return sum(value * (1.0 - 0.15 * place) for place, value in enumerate(values)) - 0.2 * sum(v * v for v in values[2:])
