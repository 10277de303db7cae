"""Pictures made of characters: an interval against its margins, and a curve in a dozen cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from nas.records import TestResult
from nas.report.charts.intervals import Zones, zones_of

WIDTH = 31
LEGEND = "green ─ passes, yellow · undecided, red ░ fails; ━ interval, ◆ estimate, ◀ ▶ it goes on"
_STYLES = {"─": "green", "·": "yellow", "░": "red"}
_LEVELS = "▁▂▃▄▅▆▇█"


def interval_line(test: TestResult, width: int = WIDTH) -> Text:
    """One line: zones of the test, its interval and its estimate; every character is told apart without colour too."""
    zones = zones_of(test)
    if zones is None:
        return Text(" " * width)
    low, high = zones.view
    cells = [_zone(zones, low + (high - low) * (index + 0.5) / width) for index in range(width)]
    styles = [_STYLES[cell] for cell in cells]

    def place(value: float) -> int:
        return min(max(math.floor((value - low) / (high - low) * width), 0), width - 1)

    if test.interval is not None:
        for index in range(place(test.interval.low), place(test.interval.high) + 1):
            cells[index], styles[index] = "━", "bold"
    if test.effect is not None:
        cells[place(test.effect)], styles[place(test.effect)] = "◆", "bold"
    if test.interval is not None and test.interval.high > high:
        cells[-1] = "▶"
    if test.interval is not None and test.interval.low < low:
        cells[0] = "◀"
    return Text.assemble(*zip(cells, styles, strict=True))


def _zone(zones: Zones, value: float) -> str:
    if zones.passes[0] <= value <= zones.passes[1]:
        return "─"
    return "░" if any(start <= value <= end for start, end in zones.fails) else "·"


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """The last ``width`` values between their least and greatest; a value that is no number is a gap."""
    shown = list(values)[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    low, spread = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(
        _LEVELS[min(int((value - low) / spread * len(_LEVELS)), len(_LEVELS) - 1)] if math.isfinite(value) else " "
        for value in shown
    )
