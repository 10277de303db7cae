"""Confusion matrices: counts, shaded by the share of their row (the truth)."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nas.report.charts.svg import Frame, cut, element, figure, text


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str, caption: str = "") -> Markup:
    """Rows are the truth, columns the prediction; each cell prints its count and its share of the row."""
    cell = 58
    size = len(classes)

    def draw(frame: Frame) -> Markup:
        left, top = 96, 12
        edge = min(cell * 1.5, (frame.width - left - 10) / max(size, 1))
        parts = []
        for row, values in enumerate(counts):
            total = sum(values) or 1
            y = top + row * cell
            parts.append(text(left - 8, y + cell / 2 + 4, cut(classes[row], 10), "tick", "end"))
            for column, value in enumerate(values):
                parts.append(_cell(left + column * edge, y, edge, cell, value, value / total, row == column))
        for column, name in enumerate(classes):
            parts.append(text(left + (column + 0.5) * edge, top + size * cell + 16, cut(name, 10), "tick", "middle"))
        parts.append(text(left + size * edge / 2, top + size * cell + 38, "predicted class (decisions)", "lab", "middle"))
        middle = top + size * cell / 2
        parts.append(text(13, middle, "true class (decisions)", "lab", "middle", transform=f"rotate(-90 13 {middle:g})"))
        return Markup("").join(parts)

    return figure(draw, title, caption, height=cell * size + 60, wide=400)


def _cell(x: float, y: float, width: float, height: float, count: int, share: float, correct: bool) -> Markup:
    class_ = "cell right" if correct else "cell wrong"
    middle = x + width / 2
    return Markup("").join(
        (
            element("rect", x=round(x, 1), y=y, width=round(width - 2, 1), height=height - 2, class_="cellback"),
            element(
                "rect", x=round(x, 1), y=y, width=round(width - 2, 1), height=height - 2, class_=class_,
                fill_opacity=round(0.42 * share, 3),
            ),
            text(round(middle, 1), y + height / 2 - 1, str(count), "count", "middle"),
            text(round(middle, 1), y + height / 2 + 15, f"{100 * share:.0f} %", "pct", "middle"),
        )
    )  # fmt: skip
