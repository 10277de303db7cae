"""What answers which finding: names of ``nas.edits.ANSWERS``, offered with the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from nas.edits import ANSWERS
from nas.records import CROP, TestResult


def answers_to(failed: Sequence[TestResult], *, cropped: bool = False) -> tuple[str, ...]:
    """Names of what answers the failed tests, the worst test's first, each once; no crop for images that are ``cropped`` to the lungs."""
    tests = [_answered_as(item) for item in failed]
    fitting = {name: answer for name, answer in ANSWERS.items() if answer.fits(tests)}
    names = [name for test in tests for name, answer in fitting.items() if test in answer.answers]
    return tuple(dict.fromkeys(name for name in names if not (cropped and name == CROP)))


def _answered_as(item: TestResult) -> str:
    """The test whose answers fit: of the nuisances by which T9 fails, batches balance sources only, and markers are T4's."""
    return {"source": item.test, "marker": "T4"}.get(item.details.get("nuisance", "source"), "")
