"""A figure as its source printed it: never asserted, always quoted with the number of images it was measured on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFigure:
    """One published number.

    Attributes:
        value: in the unit given.
        unit: ``"%"``, ``"M"`` (millions of parameters) or ``"G"`` (billions of multiply–accumulates).
        k, n: hits and images behind a percentage, where they are known or follow from the printed figures.
        data: the test set that it was measured on.
        note: what a reader must know before comparing (leaks, averaging, remembered values).
    """

    value: float
    unit: str = "%"
    k: int | None = None
    n: int | None = None
    data: str = ""
    note: str = ""


def percent(value: float, k: int | None = None, n: int | None = None, data: str = "", note: str = "") -> PublishedFigure:
    """A published percentage."""
    return PublishedFigure(value, "%", k, n, data, note)


def size(parameters: float | None = None, flops: float | None = None, note: str = "") -> dict[str, PublishedFigure]:
    """Published parameters (millions) and multiply–accumulates (billions)."""
    figures = {}
    if parameters is not None:
        figures["parameters"] = PublishedFigure(parameters, "M", note=note)
    if flops is not None:
        figures["flops"] = PublishedFigure(flops, "G", note=note)
    return figures
