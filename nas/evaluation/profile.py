"""Where the seconds of a training go: a per-phase account that is always on and costs a microsecond a step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Account:
    """Seconds by phase. :meth:`mark` charges the time since the last mark; there are no gaps between phases.

    On a GPU work is queued: a phase's seconds are then the host's, and the epoch's wait for the device is charged to
    ``device``, which is where the device's own time shows.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def start(self) -> None:
        """Forget the time since the last mark."""
        self._last = time.perf_counter()

    def mark(self, phase: str) -> None:
        """Charge the time since the last mark (or start) to ``phase``."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge a block to ``name``, also when it raises."""
        self.start()
        try:
            yield
        finally:
            self.mark(name)
