"""An architecture drawn from top to bottom: one box a block, with what it costs beside it and long-range connections at its left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nas.report.charts.scale import Scale
from nas.report.charts.svg import Frame, cut, element, figure, line, path, text
from nas.report.formatting import flops as flops_text
from nas.report.formatting import si

ROW, HEADER, TOP = 50, 24, 26


@dataclass(frozen=True)
class Block:
    """A block of the network: its module's name, what it is, its figures, and the heading of the stage that it begins."""

    name: str
    detail: str
    flops: int
    parameters: int
    heading: str = ""


def diagram(
    blocks: Sequence[Block], title: str, caption: str, *, first: str, last: str, chains: Sequence[Sequence[str]] = ()
) -> Markup:
    """The figure.

    Args:
        first, last: what enters and leaves (``1 × 96 × 96 px``, ``3 classes``).
        chains: names of blocks whose outputs are added into every later block of the chain (long-range connections).
    """
    tops = _tops(blocks)
    height = tops[-1] + ROW + 62

    def draw(frame: Frame) -> Markup:
        frame = Frame(frame.width, height, left=30 if chains else 10, right=8)
        box = (float(frame.left), frame.width * (0.54 if frame.narrow else 0.68))
        middle = (box[0] + box[1]) / 2
        columns = (box[1] + 12, float(frame.x1 - 56))
        parts = [*_legend(columns[0]), text(middle, 15, f"input {first}", "tick", "middle")]
        for index, (block, y) in enumerate(zip(blocks, tops, strict=True)):
            start = TOP - 5 if index == 0 else tops[index - 1] + 42
            parts.append(line(middle, start, middle, y + 2, "flow"))
            if block.heading:
                parts.append(text(box[0], y - 6, cut(block.heading, int((frame.x1 - box[0]) / 6)), "note"))
            parts += [*_box(block, box, y), *_bars(block, blocks, columns, y)]
        end = tops[-1] + ROW
        parts += [line(middle, end - 8, middle, end + 4, "flow"), text(middle, end + 18, last, "tick", "middle")]
        for chain in chains:
            parts += _chain([tops[i] for i, block in enumerate(blocks) if block.name in chain], frame.left)
        parts.append(text(frame.x1, end + 44, "cost of each block, one image", "lab", "end"))
        return Markup("").join(parts)

    legend = [("skipline", "line", "long-range additions within a stage")] if chains else []
    return figure(draw, title, caption, height=height, wide=960, legend=legend)


def _tops(blocks: Sequence[Block]) -> list[int]:
    """Upper edge of every block."""
    tops, y = [], TOP
    for block in blocks:
        y += HEADER if block.heading else 0
        tops.append(y)
        y += ROW
    return tops


def _legend(x: float) -> list[Markup]:
    return [
        element("rect", x=x, y=7, width=10, height=8, class_="bar s1"),
        text(x + 14, 15, "FLOPs", "tick"),
        element("rect", x=x + 56, y=7, width=10, height=8, class_="bar s2"),
        text(x + 70, 15, "parameters", "tick"),
    ]


def _box(block: Block, box: tuple[float, float], y: int) -> list[Markup]:
    width = box[1] - box[0]
    tip = "\n".join(filter(None, (block.name, block.detail, f"{flops_text(block.flops)}, {si(block.parameters)} parameters")))
    return [
        element(
            "rect", x=box[0], y=y + 2, width=round(width, 1), height=40, rx=6, class_="block mark", data_tip=tip.replace("\n", " · ")
        ),
        text(box[0] + 9, y + 19 if block.detail else y + 26, block.name, "boxname"),
        text(box[0] + 9, y + 34, cut(block.detail, int((width - 14) / 5.9)), "boxnote"),
    ]  # fmt: skip


def _bars(block: Block, blocks: Sequence[Block], columns: tuple[float, float], y: int) -> list[Markup]:
    """Two bars in the block's row, relative to the costliest block."""
    rows = (
        (8, block.flops, max(other.flops for other in blocks), "s1"),
        (25, block.parameters, max(other.parameters for other in blocks), "s2"),
    )
    parts = []
    for offset, value, most, class_ in rows:
        scale = Scale(0, most or 1, *columns)
        filled = max(round(scale(value) - columns[0], 1), 1.0 if value else 0.0)
        track = round(columns[1] - columns[0], 1)
        parts.append(element("rect", x=columns[0], y=y + offset, width=track, height=10, class_="track"))
        parts.append(element("rect", x=columns[0], y=y + offset, width=filled, height=10, class_=f"bar {class_}"))
        parts.append(text(columns[1] + 6, y + offset + 9, si(value), "tick"))
    return parts


def _chain(tops: Sequence[int], left: float) -> list[Markup]:
    """One lane at the left: out of the first block, an arrow into every later one."""
    if len(tops) < 2:
        return []
    x = left - 14
    parts = [path([(left, tops[0] + 30), (x, tops[0] + 30), (x, tops[-1] + 14), (left, tops[-1] + 14)], "skipline")]
    for top in tops[1:]:
        parts.append(line(x, top + 14, left, top + 14, "skipline"))
        parts.append(element("path", d=f"M{left:g},{top + 14}l-6,-3.5v7z", class_="skiphead"))
    return parts
