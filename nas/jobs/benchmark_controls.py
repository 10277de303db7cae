"""The rows that look at no lungs: what seven trivial features, the border, or the lungs' outline alone can score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nas.records import BenchmarkRow

if TYPE_CHECKING:
    from nas.jobs.benchmark_arena import Arena

CONTROLS = {
    "features": "control: trivial features",
    "border": "control: border only",
    "outline": "control: lung outline only",
}


def control_rows(arena: Arena) -> tuple[BenchmarkRow, ...]:
    """One row a control: fitted on everything outside the audit and test parts, scored on the sealed test."""
    from nas.data import control

    train = np.sort(np.concatenate([arena.parts.train, arena.parts.validation]))
    found = []
    for name, title in CONTROLS.items():
        scores = control(name, arena.masked, train, arena.parts.test)
        note = scores[0].note.removeprefix("control: ") if scores else ""
        found.append(BenchmarkRow(name=title, kind="control", cost=None, recipe="", test=scores, note=note))
    return tuple(found)
