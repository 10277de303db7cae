"""Which training options answer which finding: names of ``nas.edits.ANSWERS``, offered with the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from nas.edits import ANSWERS
from nas.records import TestResult


def answers_to(failed: Sequence[TestResult]) -> tuple[str, ...]:
    """Names of training options for the failed tests, the worst test's first, each once."""
    fitting = {name: answer for name, answer in ANSWERS.items() if answer.fits([item.test for item in failed])}
    names = [name for item in failed for name, answer in fitting.items() if item.test in answer.answers]
    return tuple(dict.fromkeys(names))
