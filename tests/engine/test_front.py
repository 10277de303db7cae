"""The front of a search: what no other trial beats in both its objective and FLOPs."""

from __future__ import annotations

from nas.engine.front import pareto_front
from nas.records import CostRecord, TrialRecord


def trial(key: str, quality: float | None, flops: int) -> TrialRecord:
    cost = CostRecord(flops=flops, parameters=1, memory=1, image_size=32, in_channels=1)
    return TrialRecord(number=0, key=key, outcome="completed", architecture={}, cost=cost, quality=quality)


def test_the_front_drops_what_is_dominated_and_what_has_no_quality() -> None:
    trials = [
        trial("cheap", 0.9, 10), trial("beaten", 0.9, 11), trial("failed", None, 1), trial("best", 0.2, 100), trial("between", 0.5, 50),
        trial("dear", 0.3, 100), trial("as good, dearer", 0.2, 101),
    ]  # fmt: skip
    assert [one.key for one in pareto_front(trials)] == ["best", "between", "cheap"]
