"""Which trials a search is about: the front of what it minimises and FLOPs."""

from __future__ import annotations

from collections.abc import Sequence

from nas.records import TrialRecord


def pareto_front(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that no other beats in both the objective and FLOPs, best first."""
    front: list[TrialRecord] = []
    for trial in sorted((t for t in trials if t.quality is not None), key=lambda t: (t.quality, t.cost.flops)):
        if not front or trial.cost.flops < front[-1].cost.flops:
            front.append(trial)
    return front
