"""Small interval plots: one test of the audit against its margins, each on its own scale.

Margins are distances from ``details["centre"]`` (0 unless the test says otherwise, for example 0.5 for an AUC of chance), in both
directions unless ``details["upper_only"]``.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from nas.records import TestResult
from nas.report.charts.scale import Scale
from nas.report.charts.svg import element, line, mark
from nas.report.formatting import effect_text, number, unit_text

WIDTH, HEIGHT = 240, 34
EDGE = 8


@dataclass(frozen=True)
class Zones:
    """Where a test passes and fails, on the scale of its effect."""

    centre: float
    passing: float
    failing: float
    upper_only: bool

    @property
    def passes(self) -> tuple[float, float]:
        """The whole interval in here: pass."""
        return (float("-inf") if self.upper_only else self.centre - self.passing, self.centre + self.passing)

    @property
    def fails(self) -> tuple[tuple[float, float], ...]:
        """The whole interval in one of these: fail."""
        upper = (self.centre + self.failing, float("inf"))
        return (upper,) if self.upper_only else ((float("-inf"), self.centre - self.failing), upper)

    @property
    def view(self) -> tuple[float, float]:
        """What the plot shows: the margins and as much again."""
        reach = 1.9 * max(self.failing, self.passing)
        return self.centre - reach * (0.5 if self.upper_only else 1), self.centre + reach


def zones_of(test: TestResult) -> Zones | None:
    """The test's zones; ``None`` where it declares no margin."""
    if test.pass_margin is None or test.fail_margin is None:
        return None
    return Zones(
        float(test.details.get("centre", 0.0)), test.pass_margin, test.fail_margin, bool(test.details.get("upper_only"))
    )


def margins_text(test: TestResult) -> str:
    """The rule in words: ``passes within ±0.10, fails beyond ±0.25 σ``."""
    zones = zones_of(test)
    if zones is None:
        return "" if test.pass_margin is None else f"passes unless wholly above {number(test.pass_margin, 2)}; cannot fail"
    sign = "" if zones.upper_only else "±"
    around = f"{number(zones.centre, 2)} " if zones.centre else ""
    sign = "+" if zones.upper_only and around else sign
    words = f"passes within {around}{sign}{number(zones.passing, 2)}, fails beyond {around}{sign}{number(zones.failing, 2)}"
    return f"{words} {unit_text(test.unit)}".strip()


def interval_plot(test: TestResult) -> Markup:
    """Green: passes; red: fails; the bar is the interval, its diamond the estimate, an arrow says that it goes on."""
    zones = zones_of(test)
    spoken = f"{test.statistic}: {effect_text(test.effect, test.interval, test.unit)}; {margins_text(test)}"
    parts: list[Markup] = []
    if zones is not None:
        scale = Scale(*zones.view, EDGE, WIDTH - EDGE)
        parts.append(_zone((zones.view[0], zones.view[1]), scale, "zone-und"))
        parts.append(_zone(zones.passes, scale, "zone-pass"))
        parts += [_zone(zone, scale, "zone-fail") for zone in zones.fails]
        parts.append(line(scale(zones.centre), 5, scale(zones.centre), 29, "zero"))
        parts += _estimate(test, scale)
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=spoken, class_="ciplot")


def _zone(zone: tuple[float, float], scale: Scale, class_: str) -> Markup:
    start, end = scale(zone[0]), scale(zone[1])
    return element("rect", x=start, y=10, width=round(end - start, 2), height=14, class_=class_)


def _estimate(test: TestResult, scale: Scale) -> list[Markup]:
    parts = []
    if test.interval is not None:
        low, high = test.interval.low, test.interval.high
        parts.append(line(scale(low), 17, scale(high), 17, "ci"))
        if high > scale.high:
            parts.append(element("path", d=f"M{WIDTH - EDGE},12l7,5l-7,5z", class_="arrow"))
        if low < scale.low:
            parts.append(element("path", d=f"M{EDGE},12l-7,5l7,5z", class_="arrow"))
    if test.effect is not None:
        parts.append(mark(scale(test.effect), 17, "estimate", shape="diamond", radius=4))
    return parts
