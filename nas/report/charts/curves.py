"""Lines over an axis: training curves, best value so far, ROC and reliability curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.report.charts.scale import Scale, fit
from nas.report.charts.svg import Frame, axes, figure, line, mark, path


@dataclass(frozen=True)
class Series:
    """One line: its points in data units, its class, its name, and whether its points are marked (with tips)."""

    name: str
    points: Sequence[tuple[float, float]]
    class_: str = "s1"
    shape: str = "circle"
    marked: bool = False
    tips: Sequence[str] = ()
    stepped: bool = False
    line: bool = True


def curves(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    *,
    caption: str = "",
    x_format: Callable[[float], str] | None = None,
    y_format: Callable[[float], str] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    whole: bool = False,
    diagonal: bool = False,
    height: int = 320,
) -> Markup:
    """A figure of lines; ``whole``: the horizontal axis counts (epochs, trials); ``diagonal`` adds the line y = x (chance of an ROC, perfect calibration)."""

    def draw(frame: Frame) -> Markup:
        xs = [p[0] for s in series for p in s.points]
        x = _scale(xs, x_range, frame.left, frame.x1, 0.03)
        if whole and xs:
            x = Scale(min(xs) - 0.5, max(xs) + 0.5, frame.left, frame.x1, whole=True)
        y = _scale([p[1] for s in series for p in s.points], y_range, frame.y1, frame.top, 0.06)
        parts = [axes(frame, x, y, x_label, y_label, x_format, y_format)]
        if diagonal:
            parts.append(line(x(0), y(0), x(1), y(1), "refline"))
        for one in series:
            pixels = [(x(a), y(b)) for a, b in one.points]
            if one.line:
                parts.append(path(_steps(pixels) if one.stepped else pixels, f"curve {one.class_}"))
        for one in series:
            if one.marked:
                tips = [*one.tips, *[""] * len(one.points)]
                parts += [
                    mark(x(a), y(b), one.class_, tip, one.shape, 3.5) for (a, b), tip in zip(one.points, tips, strict=False)
                ]
        return Markup("").join(parts)

    legend = [
        (f"curve {one.class_}", "line", one.name) if one.line else (one.class_, one.shape, one.name)
        for one in series
        if one.name
    ]
    return figure(draw, title, caption, height=height, legend=legend if len(legend) > 1 or diagonal else ())


def _scale(values: Sequence[float], given: tuple[float, float] | None, start: float, end: float, margin: float) -> Scale:
    return Scale(given[0], given[1], start, end) if given else fit(values, start, end, margin=margin)


def _steps(pixels: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    route: list[tuple[float, float]] = []
    for x, y in pixels:
        if route:
            route.append((x, route[-1][1]))
        route.append((x, y))
    return route
