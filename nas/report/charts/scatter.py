"""Points with vertical intervals over a (usually logarithmic) cost axis, and the front that they form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.report.charts.scale import Scale, fit
from nas.report.charts.svg import Frame, axes, figure, line, mark, path, text


@dataclass(frozen=True)
class Point:
    """One mark: where it lies, how sure that is, how it looks, what it says."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    class_: str = "s1"
    shape: str = "circle"
    tip: str = ""
    label: str = ""
    radius: float = 5


def scatter(
    points: Sequence[Point],
    title: str,
    x_label: str,
    y_label: str,
    *,
    caption: str = "",
    x_format: Callable[[float], str] | None = None,
    y_format: Callable[[float], str] | None = None,
    front: Iterable[tuple[float, float]] = (),
    limit: float | None = None,
    limit_text: str = "",
    reference: tuple[float, str] | None = None,
    legend: Sequence[tuple[str, str, str]] = (),
) -> Markup:
    """A scatter figure.

    Args:
        front: (x, y) of the non-dominated points; drawn as a staircase.
        limit: a vertical line (the budget).
        reference: a horizontal line (a control) with its name.
    """
    stairs = sorted(front)

    def draw(frame: Frame) -> Markup:
        xs = [point.x for point in points] + ([limit] if limit else [])
        ends = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
        ends += [reference[0]] if reference else []
        x = fit(xs, frame.left, frame.x1, log=True)
        y = fit(ends, frame.y1, frame.top)
        parts = [axes(frame, x, y, x_label, y_label, x_format, y_format)]
        if reference:
            parts += [line(frame.left, y(reference[0]), frame.x1, y(reference[0]), "refline")]
            parts += [text(frame.x1 - 4, y(reference[0]) - 5, reference[1], "note", "end")]
        if limit:
            parts += [line(x(limit), frame.top, x(limit), frame.y1, "limit")]
            parts += [text(x(limit) - 5, frame.top + 11, limit_text, "note", "end")]
        if len(stairs) > 1:
            parts.append(path(_staircase(stairs, x, y), "front"))
        for point in points:
            parts += _interval(point, x, y)
        parts += [mark(x(p.x), y(p.y), p.class_, p.tip, p.shape, p.radius) for p in points]
        parts += _labels([(x(p.x), y(p.y), p.label) for p in points if p.label], frame)
        return Markup("").join(parts)

    return figure(draw, title, caption, height=380, legend=legend)


def _interval(point: Point, x: Scale, y: Scale) -> list[Markup]:
    if point.low is None or point.high is None:
        return []
    return [line(x(point.x), y(point.low), x(point.x), y(point.high), f"whisker {point.class_}")]


def _staircase(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """What is attainable at each cost: flat until the next front point is affordable."""
    route: list[tuple[float, float]] = []
    for cost, value in points:
        if route:
            route.append((x(cost), route[-1][1]))
        route.append((x(cost), y(value)))
    return route


def _labels(marks: Sequence[tuple[float, float, str]], frame: Frame) -> list[Markup]:
    """Names beside marks; one that would collide with an earlier one or leave the plot is moved or left to the hover."""
    placed: list[tuple[float, float, float, float]] = []
    dots = [(px - 6, py - 6, px + 6, py + 6) for px, py, _ in marks]
    parts: list[Markup] = []
    for index, (px, py, label) in enumerate(marks):
        width = 6.4 * len(label)
        for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -11, "middle"), (0, 19, "middle")):
            left = px + dx - {"start": 0, "end": width, "middle": width / 2}[anchor]
            box = (left, py + dy - 11, left + width, py + dy + 3)
            others = [dot for other, dot in enumerate(dots) if other != index]
            inside = box[0] >= frame.left and box[2] <= frame.x1 and box[1] >= frame.top and box[3] <= frame.y1
            if inside and not any(_overlap(box, other) for other in (*placed, *others)):
                placed.append(box)
                parts.append(text(px + dx, py + dy, label, "ptlab", anchor))
                break
    return parts


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
