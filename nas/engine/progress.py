"""What a search tells whoever is watching; the display itself lives in ``nas.report``."""

from __future__ import annotations

from typing import Protocol

from nas.records import Accounting, EpochRecord, TrialRecord


class Progress(Protocol):
    """Receives a search's events, in order for each trial."""

    def objective(self, name: str) -> None:
        """What the search minimises, a key of ``OBJECTIVE_NAMES``: told before its first trial; untold, the log-loss."""

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """A network has been accepted and starts training."""

    def epoch(self, number: int, record: EpochRecord) -> None:
        """A trial finished an epoch."""

    def trial_finished(self, record: TrialRecord) -> None:
        """A trial ended: completed, pruned or failed."""

    def accounting(self, counts: Accounting) -> None:
        """The counts so far."""

    def message(self, text: str) -> None:
        """Something a person should read."""


class Silent:
    """Progress that nobody watches."""

    def objective(self, name: str) -> None:
        """Ignore."""

    def trial_started(self, number: int, key: str, flops: int) -> None:
        """Ignore."""

    def epoch(self, number: int, record: EpochRecord) -> None:
        """Ignore."""

    def trial_finished(self, record: TrialRecord) -> None:
        """Ignore."""

    def accounting(self, counts: Accounting) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""
