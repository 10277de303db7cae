"""Horizontal bars: importances, seconds by phase, scores by source; and one stacked bar for shares of a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.report.charts.scale import Scale, fit
from nas.report.charts.svg import Frame, axes, cut, element, figure, line, text


@dataclass(frozen=True)
class Bar:
    """One bar with an optional interval; ``text`` is written at its end, ``tip`` shown on hover."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    class_: str = "s1"
    text: str = ""
    tip: str = ""


def bars(
    items: Sequence[Bar],
    title: str,
    x_label: str,
    *,
    caption: str = "",
    x_format: Callable[[float], str] | None = None,
    x_range: tuple[float, float] | None = None,
    marker: tuple[float, str] | None = None,
) -> Markup:
    """A horizontal bar figure, one row an item, in the order given; ``marker`` is a named vertical line."""
    row, height = 26, 26 * len(items) + 68
    longest = max((len(item.name) for item in items), default=0)

    def draw(frame: Frame) -> Markup:
        frame = Frame(frame.width, height, left=min(30 + 7 * longest, frame.width * 2 // 5), right=88, top=8, bottom=60)
        most = max([item.high if item.high is not None else item.value for item in items] + [marker[0] if marker else 0.0])
        x = Scale(*x_range, frame.left, frame.x1) if x_range else fit([0.0, most], frame.left, frame.x1, margin=0.0)
        parts = [axes(frame, x, None, x_label, "", x_format)]
        room = (frame.left - 12) // 7
        for index, item in enumerate(items):
            parts.append(_bar(item, frame, x, frame.top + index * row, row, room))
        if marker:
            parts.append(line(x(marker[0]), frame.top, x(marker[0]), frame.y1, "refline"))
            parts.append(text(x(marker[0]) + 5, frame.y1 - 6, marker[1], "note"))
        return Markup("").join(parts)

    return figure(draw, title, caption, height=height)


def _bar(item: Bar, frame: Frame, x: Scale, y: float, row: int, room: int) -> Markup:
    zero = x(max(0.0, x.low))
    parts = [
        text(frame.left - 6, y + row / 2 + 4, cut(item.name, room), "tick", "end"),
        element(
            "rect", x=zero, y=y + 5, width=max(round(x(item.value) - zero, 2), 0.5), height=row - 10,
            class_=f"bar mark {item.class_}", data_tip=item.tip or f"{item.name}: {item.text}",
        ),
    ]  # fmt: skip
    end = x(item.value)
    if item.low is not None and item.high is not None:
        parts.append(line(x(item.low), y + row / 2, x(item.high), y + row / 2, "whisker onbar"))
        end = max(end, x(item.high))
    parts.append(text(end + 6, y + row / 2 + 4, item.text, "tick"))
    return Markup("").join(parts)


def stacked(items: Sequence[Bar], title: str, x_label: str) -> Markup:
    """One bar, split; parts of zero are left out, each part is named in the legend with its figure."""
    shown = [item for item in items if item.value > 0]
    total = sum(item.value for item in shown) or 1.0

    def draw(frame: Frame) -> Markup:
        frame = Frame(frame.width, 78, left=14, right=14, top=8, bottom=40)
        x = Scale(0.0, total, frame.left, frame.x1)
        parts, at = [], 0.0
        for item in shown:
            width = max(x(at + item.value) - x(at) - 1, 0.8)
            tip = f"{item.name}: {item.text} ({100 * item.value / total:.0f} %)"
            parts.append(
                element("rect", x=x(at), y=8, width=round(width, 2), height=30, class_=f"bar mark {item.class_}", data_tip=tip)
            )
            at += item.value
        parts.append(text((frame.left + frame.x1) / 2, 66, x_label, "lab", "middle"))
        return Markup("").join(parts)

    legend = [(f"bar {item.class_}", "band", f"{item.name}: {item.text}") for item in shown]
    return figure(draw, title, height=78, legend=legend)
