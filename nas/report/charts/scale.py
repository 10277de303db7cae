"""Axes: from figures to pixels, and the round values that are written beside the axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from nas.report.formatting import number


@dataclass(frozen=True)
class Scale:
    """Maps values in ``[low, high]`` to pixels in ``[start, end]``, linearly or by logarithm; ``whole``: counts, no fractions."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of ``value``; beyond the ends (infinity included) it is clipped to them."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + (self.end - self.start) * share, 2)

    def ticks(self, count: int = 5) -> list[float]:
        """At most about ``count`` round values inside the axis."""
        ticks = _log_ticks(self.low, self.high, count) if self.log else linear_ticks(self.low, self.high, count)
        return [tick for tick in ticks if tick == round(tick)] if self.whole else ticks

    def plain(self, value: float) -> str:
        """A tick with as many decimals as the step between ticks needs."""
        ticks = self.ticks()
        step = min((b - a for a, b in pairwise(ticks)), default=0.0)
        digits = 0 if self.whole else max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 2
        return number(value, digits)


def fit(values: Iterable[float], start: float, end: float, *, log: bool = False, margin: float = 0.06) -> Scale:
    """A scale over finite ``values`` with some air; an empty or constant set gets a sensible width."""
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(finite), max(finite)) if finite else ((1.0, 10.0) if log else (0.0, 1.0))
    if log:
        ratio = max(high / low, 1.5) ** margin
        low, high = (low / ratio, high * ratio) if high / low >= 1.5 else (low / 1.5, high * 1.5)
        return Scale(low, high, start, end, log=True)
    size = max(abs(low), abs(high))
    if high - low <= 0.02 * size:  # differences that small are not worth four decimals
        middle, half = (low + high) / 2, 0.1 * (size or 1.0)
        low, high = middle - half, middle + half
    width = high - low
    return Scale(low - margin * width, high + margin * width, start, end)


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)) + 1)
    return [round(index * step, digits) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    """1–2–5 steps per decade where they fit, else whole decades; a narrow range falls back to linear steps."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if 2 <= len(ticks) <= count + 1:
            return ticks
    if len(ticks) > count:
        return ticks[:: math.ceil(len(ticks) / count)]
    return [tick for tick in linear_ticks(low, high, count) if tick > 0]
