"""Inline SVG: escaped elements, and the frame (axes, grid, labels) that every chart of the page shares.

A chart is drawn twice, once for wide and once for narrow containers, so that its lettering stays legible on a phone;
the style sheet shows the one that fits. Colours are classes of the style sheet: dark mode needs no second drawing.
Marks with a ``tip`` show it on hover, and on the arrow keys once the chart has the keyboard's focus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from nas.report.charts.scale import Scale
from nas.report.formatting import clean

WIDE, NARROW = 640, 340


@dataclass(frozen=True)
class Frame:
    """The drawing area: pixel edges of the plot inside an SVG of ``width`` × ``height``."""

    width: int
    height: int
    left: int = 62
    right: int = 14
    top: int = 14
    bottom: int = 48

    @property
    def x1(self) -> int:
        """Right edge of the plot."""
        return self.width - self.right

    @property
    def y1(self) -> int:
        """Lower edge of the plot."""
        return self.height - self.bottom

    @property
    def narrow(self) -> bool:
        """Whether this is the drawing for a phone."""
        return self.width < 500


def element(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """One SVG element; attribute names drop a trailing underscore and turn inner ones into dashes; all text is escaped."""
    parts = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), clean(value))
        for key, value in attributes.items()
        if value is not None
    ]
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(parts), Markup("").join(map(escape, children)))


def text(x: float, y: float, content: str, class_: str = "lab", anchor: str = "start", **attributes: object) -> Markup:
    """A piece of lettering."""
    return element("text", clean(content), x=x, y=y, class_=class_, text_anchor=anchor, **attributes)


def cut(content: str, room: int) -> str:
    """``content`` in at most ``room`` characters: dotted names lose letters before words lose their ends."""
    if len(content) > room:
        content = content.replace("stage", "s").replace("block", "b")
    return content if len(content) <= room else content[: max(room - 1, 1)] + "…"


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **attributes: object) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **attributes)


def path(points: Sequence[tuple[float, float]], class_: str, **attributes: object) -> Markup:
    """An open polyline through pixel points."""
    route = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
    return element("path", d=route if points else "", class_=class_, **attributes)


def mark(x: float, y: float, class_: str, tip: str = "", shape: str = "circle", radius: float = 5) -> Markup:
    """A data point: ``circle``, ``square``, ``diamond``, ``triangle`` or ``cross``, so that shape repeats what colour says."""
    r = radius
    routes = {
        "square": f"M{x - r:g},{y - r:g}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        "diamond": f"M{x:g},{y - 1.35 * r:g}L{x + 1.35 * r:g},{y:g}L{x:g},{y + 1.35 * r:g}L{x - 1.35 * r:g},{y:g}z",
        "triangle": f"M{x:g},{y - 1.25 * r:g}L{x + 1.2 * r:g},{y + r:g}L{x - 1.2 * r:g},{y + r:g}z",
        "cross": f"M{x - r:g},{y - r:g}L{x + r:g},{y + r:g}M{x + r:g},{y - r:g}L{x - r:g},{y + r:g}",
    }
    tip_or_none = tip or None
    if shape in routes:
        return element("path", d=routes[shape], class_=f"mark {shape} {class_}", data_tip=tip_or_none)
    return element("circle", cx=x, cy=y, r=r, class_=f"mark {class_}", data_tip=tip_or_none)


def axes(
    frame: Frame,
    x: Scale,
    y: Scale | None,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str] | None = None,
    y_format: Callable[[float], str] | None = None,
) -> Markup:
    """Grid, ticks and the two axis labels (with units: the caller writes them into the label)."""
    parts: list[Markup] = []
    if y is not None:
        for tick in y.ticks(5):
            parts.append(line(frame.left, y(tick), frame.x1, y(tick), "grid"))
            parts.append(text(frame.left - 7, y(tick) + 4, (y_format or y.plain)(tick), "tick", "end"))
    for tick in x.ticks(4 if frame.narrow else 7):
        parts.append(line(x(tick), frame.top, x(tick), frame.y1, "grid"))
        label = (x_format or x.plain)(tick)
        over = x(tick) + 3.4 * len(label) > frame.width  # beyond the drawing's right edge
        parts.append(text(frame.width if over else x(tick), frame.y1 + 17, label, "tick", "end" if over else "middle"))
    parts.append(line(frame.left, frame.y1, frame.x1, frame.y1, "axis"))
    parts.append(line(frame.left, frame.top, frame.left, frame.y1, "axis"))
    middle = (frame.top + frame.y1) / 2
    parts += _wrapped((frame.left + frame.x1) / 2, frame.y1 + 36, x_label, frame.x1 - frame.left)
    parts.append(text(14, middle, y_label, "lab", "middle", transform=f"rotate(-90 14 {middle:g})"))
    return Markup("").join(parts)


def _wrapped(x: float, y: float, label: str, width: float) -> list[Markup]:
    """An axis label, on two lines where one would leave the plot."""
    words, room = label.split(), int(width / 6.6)
    if len(label) <= room or len(words) < 2:
        return [text(x, y + 3, label, "lab", "middle")]
    cut = min(range(1, len(words)), key=lambda i: abs(len(" ".join(words[:i])) - len(" ".join(words[i:]))))
    return [text(x, y, " ".join(words[:cut]), "lab", "middle"), text(x, y + 15, " ".join(words[cut:]), "lab", "middle")]


def drawing(frame: Frame, body: Markup, label: str, variant: str) -> Markup:
    """The ``<svg>`` itself, focusable, with its spoken name."""
    return element(
        "svg", body, viewBox=f"0 0 {frame.width} {frame.height}", role="img", aria_label=label, tabindex=0, class_=variant,
        style=f"max-width:{max(frame.width, 760)}px",
    )  # fmt: skip


def figure(
    draw: Callable[[Frame], Markup],
    title: str,
    caption: str = "",
    *,
    height: int = 360,
    legend: Sequence[tuple[str, str, str]] = (),
    wide: int = WIDE,
) -> Markup:
    """A figure with title, legend, the two drawings and a caption.

    Args:
        draw: the plot's content for one frame size.
        legend: triples (class, shape, text).
    """
    title, caption = clean(title), clean(caption)
    spoken = f"{title}. {caption}".strip()
    frames = (("wide", Frame(wide, height)), ("narrow", Frame(NARROW, height, left=54, right=10, bottom=58)))
    drawings = Markup("").join(drawing(frame, draw(frame), spoken, variant) for variant, frame in frames)
    keys = Markup("").join(_key(*entry) for entry in legend)
    return Markup("<figure><figcaption class='ftitle'>{}</figcaption>{}<div class='chart'>{}</div>{}</figure>").format(
        title,
        Markup("<ul class='legend'>{}</ul>").format(keys) if keys else "",
        drawings,
        Markup("<p class='caption'>{}</p>").format(caption) if caption else "",
    )


def _key(class_: str, shape: str, label: str) -> Markup:
    if shape == "line":
        symbol = line(1, 8, 21, 8, class_)
    elif shape == "band":
        symbol = element("rect", x=1, y=2, width=20, height=12, class_=class_)
    else:
        symbol = mark(11, 8, class_, shape=shape)
    return Markup("<li><svg viewBox='0 0 22 16' aria-hidden='true'>{}</svg>{}</li>").format(symbol, clean(label))
