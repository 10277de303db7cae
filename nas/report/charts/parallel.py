"""Parallel coordinates: one axis a decision, one line an architecture, coloured by how good it turned out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.report.charts.svg import Frame, cut, figure, line, path, text

CLASSES = 5  # shades of the colour scale, q1 (best) … q5


@dataclass(frozen=True)
class Axis:
    """One decision: its name and its choices in order."""

    name: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Strand:
    """One architecture: its choice on every axis (``None`` where the decision is inactive), and its shade 1–5."""

    choices: tuple[str | None, ...]
    shade: int
    tip: str
    highlighted: bool = False


def parallel(axes: Sequence[Axis], strands: Sequence[Strand], title: str, caption: str) -> Markup:
    """The figure; axes run from top to bottom, so that it grows in height and not past the edge of a phone."""
    step, height = 54, 54 * len(axes) - 10

    def draw(frame: Frame) -> Markup:
        frame = Frame(frame.width, height, left=112 if frame.narrow else 170, right=24, top=24, bottom=10)
        positions = [_positions(axis, frame) for axis in axes]
        rows = [frame.top + step * index for index in range(len(axes))]
        parts: list[Markup] = []
        for strand in sorted(strands, key=lambda one: (one.highlighted, -one.shade)):
            points = [
                (positions[index][choice], rows[index])
                for index, choice in enumerate(strand.choices)
                if choice is not None and choice in positions[index]
            ]
            class_ = f"strand q{strand.shade}" + (" best" if strand.highlighted else "")
            parts.append(path(points, f"mark {class_}", data_tip=strand.tip))
        room = int((frame.left - 18) / 6.9)
        for axis, row, places in zip(axes, rows, positions, strict=True):
            parts.append(line(frame.left, row, frame.x1, row, "axis"))
            parts.append(text(frame.left - 14, row + 4, cut(axis.name, room), "tick", "end"))
            parts += _choices(axis, places, row, frame)
        return Markup("").join(parts)

    legend = [("strand q1", "line", "best fifth"), ("strand q3", "line", "middle"), ("strand q5", "line", "worst fifth")]
    legend.append(("strand best", "line", "the winner, else the best"))
    return figure(draw, title, caption, height=height, legend=legend)


def _positions(axis: Axis, frame: Frame) -> dict[str, float]:
    count = max(len(axis.choices) - 1, 1)
    width = frame.x1 - frame.left - 16
    return {choice: round(frame.left + 8 + width * index / count, 1) for index, choice in enumerate(axis.choices)}


def _choices(axis: Axis, places: dict[str, float], row: float, frame: Frame) -> list[Markup]:
    """Choice names above the axis; where they would touch, every second (third, …) only."""
    longest = max((len(choice) for choice in axis.choices), default=1)
    gap = (frame.x1 - frame.left - 16) / max(len(axis.choices) - 1, 1)
    every = max(1, -(-int(6.2 * longest + 6) // max(int(gap), 1)))
    parts = [line(x, row - 4, x, row + 4, "axis") for x in places.values()]
    for index, (choice, x) in enumerate(places.items()):
        if index % every == 0:
            parts.append(text(x, row - 7, choice, "choice", "middle"))
    return parts
