"""Operational requirements (the indicator 1_r): what a candidate must reach, judged by the bounds of its intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from nas.records import Metric, Verdict
from search_spaces.errors import InputError

_FORM = re.compile(r"^\s*([a-z_0-9]+(?:\[[^\]]+\])?)\s*(>=|<=)\s*([0-9.eE+-]+)\s*$")


class Requirement(BaseModel):
    """``metric >= threshold`` or ``metric <= threshold``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    at_least: bool
    threshold: float

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.at_least else '<='}{self.threshold:g}"


class Judgement(BaseModel):
    """How one requirement came out, with the images that would settle an undecided one."""

    model_config = ConfigDict(frozen=True)

    requirement: Requirement
    verdict: Verdict
    text: str


def parse_requirement(text: str) -> Requirement:
    """``"sensitivity[covid]>=0.8"`` → Requirement; anything else raises ``InputError``."""
    match = _FORM.match(text)
    if match is None:
        raise InputError(
            f"requirement {text!r} must read METRIC>=NUMBER or METRIC<=NUMBER, for example 'sensitivity[covid]>=0.8'"
        )
    name, sign, number = match.groups()
    try:
        threshold = float(number)
    except ValueError as error:
        raise InputError(f"requirement {text!r}: {number!r} is no number") from error
    return Requirement(metric=name, at_least=sign == ">=", threshold=threshold)


def check_known(requirement: Requirement, names: Iterable[str]) -> None:
    """Raise ``InputError`` where none of the metrics' names is the requirement's."""
    known = sorted(names)
    if requirement.metric not in known:
        raise InputError(f"requirement {requirement} names an unknown metric; known: {', '.join(known)}")


def check_reachable(requirement: Requirement, least: float, most: float) -> None:
    """Raise ``InputError`` where the threshold lies outside ``least`` to ``most``, what the metric can be."""
    if not least <= requirement.threshold <= most:
        bounds = f"of {least:g} or more" if most == float("inf") else f"between {least:g} and {most:g}"
        percent = most == 1 < requirement.threshold <= 100
        share = f"; write {requirement.threshold:g} % as {requirement.threshold / 100:g}" if percent else ""
        raise InputError(f"requirement {requirement}: {requirement.metric} is a number {bounds}{share}")


def judge(requirement: Requirement, metrics: Iterable[Metric]) -> Judgement:
    """Met only where the whole interval meets it, unmet only where the whole interval misses it, else undecided.

    The images that would settle it: the interval's half-width shrinks with 1/√n, so n·(half-width / distance)².

    Raises:
        InputError: no metric of that name.
    """
    by_name = {m.name: m for m in metrics}
    check_known(requirement, by_name)
    metric = by_name[requirement.metric]
    if metric.value is None or metric.interval is None:
        return Judgement(
            requirement=requirement, verdict="undecided", text=f"{requirement}: not estimable ({metric.note or 'no interval'})"
        )
    low, high = metric.interval.low, metric.interval.high
    found = f"{metric.value:.3f} [{low:.3f}, {high:.3f}], n={metric.n}"
    met = low >= requirement.threshold if requirement.at_least else high <= requirement.threshold
    missed = high < requirement.threshold if requirement.at_least else low > requirement.threshold
    if met:
        return Judgement(requirement=requirement, verdict="pass", text=f"{requirement}: met, {found}")
    if missed:
        return Judgement(requirement=requirement, verdict="fail", text=f"{requirement}: not met, {found}")
    distance = abs(metric.value - requirement.threshold)
    half = (high - low) / 2
    needed = (
        f"about {max(metric.n + 1, round(metric.n * (half / distance) ** 2)):,} images would settle it"
        if distance > 1e-9
        else "the value lies on the threshold"
    )
    return Judgement(requirement=requirement, verdict="undecided", text=f"{requirement}: undecided, {found}; {needed}")


def violation(requirement: Requirement, metrics: Iterable[Metric]) -> float:
    """Relative distance of the point estimate from the threshold, ≤ 0 when met: the smooth form that guides a search.

    1 (pessimistic) where the metric is not estimable.
    """
    for metric in metrics:
        if metric.name == requirement.metric and metric.value is not None:
            gap = requirement.threshold - metric.value if requirement.at_least else metric.value - requirement.threshold
            return gap / max(abs(requirement.threshold), 1e-9)
    return 1.0
