"""Who is better than whom: paired comparisons on the sealed test and out of fold, with Holm over the whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nas.jobs.benchmark_scores import Panel
from nas.records import Comparison
from nas.statistics import bootstrap
from nas.statistics.intervals import class_mean, implied_error
from nas.statistics.paired import Difference, conclude, holm, nadeau_bengio, t_test

METRICS = ("balanced_accuracy", "accuracy", "auroc")
ALL_PAIRS = 6  # up to so many models without a candidate, everyone meets everyone


@dataclass(frozen=True)
class Contestant:
    """What a comparison needs to know of a model.

    Attributes:
        panel: its logits on the sealed test. folds: balanced accuracy on each held-out fold, in the folds' order.
        pretraining, leaks: models with more, or with leaks, take no part in "better".
    """

    name: str
    kind: str
    panel: Panel
    folds: Sequence[float]
    pretraining: str = "none"
    leaks: str = ""


def compare(
    contestants: Sequence[Contestant], *, folds: int, margin: float, asked: Sequence[tuple[str, str]] = ()
) -> tuple[Comparison, ...]:
    """Every candidate against everyone else (without a candidate: everyone against everyone, or against the strongest).

    Args:
        folds: of the cross-validation, for the correction of tests over folds.
        margin: of non-inferiority, in the unit of the metrics.
        asked: further pairs by name; those that do not both compete are left out.
    """
    found: list[tuple[Contestant, Contestant, str, Difference | None]] = []
    for first, second in pairs(contestants, asked):
        found += [(first, second, name, difference(first.panel, second.panel, name)) for name in METRICS]
        found.append((first, second, "balanced_accuracy", over_folds(first, second, folds)))
    tested = [index for index, (first, second, _, d) in enumerate(found) if d is not None and comparable(first, second)]
    adjusted: Mapping[int, float] = dict(
        zip(tested, holm([d.p_value for i in tested if (d := found[i][3]) is not None]), strict=True)
    )
    return tuple(
        _comparison(first, second, name, d, adjusted.get(index), margin) for index, (first, second, name, d) in enumerate(found)
    )


def pairs(contestants: Sequence[Contestant], asked: Sequence[tuple[str, str]] = ()) -> list[tuple[Contestant, Contestant]]:
    """Who meets whom, each pair once."""
    by_name = {one.name: one for one in contestants}
    further = [(by_name[a], by_name[b]) for a, b in asked if a in by_name and b in by_name]
    met = {frozenset((one.name, other.name)) for one, other in further}
    return further + [pair for pair in _own_pairs(contestants) if frozenset((pair[0].name, pair[1].name)) not in met]


def _own_pairs(contestants: Sequence[Contestant]) -> list[tuple[Contestant, Contestant]]:
    candidates = [one for one in contestants if one.kind == "candidate"]
    others = [one for one in contestants if one.kind != "candidate"]
    if candidates:
        return [(one, other) for one in candidates for other in others] + list(combinations(candidates, 2))
    if len(others) <= ALL_PAIRS:
        return list(combinations(others, 2))
    first = strongest(others)
    return [(first, other) for other in others if other is not first]


def strongest(contestants: Sequence[Contestant]) -> Contestant:
    """The best by mean balanced accuracy out of fold, so that the sealed test does not pick its own opponent."""
    return max(contestants, key=lambda one: float(np.mean(one.folds)))


def comparable(first: Contestant, second: Contestant) -> bool:
    """Whether "better" may be said: equal pretraining, and no leak on either side."""
    return first.pretraining == second.pretraining and not first.leaks and not second.leaks


def above_chance(contestant: Contestant) -> bool:
    """Whether it tells the classes apart at all: being as good as a guess is nothing to be not inferior to."""
    interval = contestant.panel.interval("balanced_accuracy")
    return interval is not None and interval.low > 1 / contestant.panel.k


def difference(first: Panel, second: Panel, name: str) -> Difference | None:
    """First − second of one figure on the sealed test; both share groups and trainings in every draw.

    The p-value is Student's t by the draws' spread. (One counted among 1,000 draws is never below 0.001, which Holm's adjustment
    for a hundred tests raises above 0.05: nothing could be called better.) Measured rejections of a true null at 0.05 and
    0.005, 1,500 draws, 150 groups: 5 trainings that differ by 2, 7 and 13 points 0.019, 0.071, 0.073 and 0.001, 0.011, 0.020;
    2 trainings that differ by 2 and 7 points 0.021, 0.127 and 0.001, 0.039.
    """
    values, own, other = (first.value(name), second.value(name)), first.draws(name), second.draws(name)
    if values[0] is None or values[1] is None or own is None or other is None:
        return None
    observed, drawn = values[0] - values[1], own - other
    method, groups = first.sheet.method, first.sheet.n_groups
    interval = bootstrap.interval(drawn, groups, method=method)
    if interval is None:
        return None
    error = float(np.nanstd(drawn, ddof=1))
    if interval.low == interval.high:  # every draw agrees: as sure as of a figure that all images agree on, no more
        slack = 1 - class_mean(np.ones(len(first.sheet.labels)), first.sheet.labels, first.sheet.code).low
        ends = {"low": max(observed - slack, -1.0), "high": min(observed + slack, 1.0)}
        interval = interval.model_copy(update=ends)
        error = implied_error(interval)
    return Difference(observed, interval, t_test(observed, error, groups - 1), f"paired {method}")


def over_folds(first: Contestant, second: Contestant, folds: int) -> Difference | None:
    """First − second out of fold, tested over the folds with Nadeau and Bengio's correction."""
    differences = np.asarray(first.folds, dtype=np.float64) - np.asarray(second.folds, dtype=np.float64)
    return nadeau_bengio(differences, 1 / (folds - 1)) if len(differences) > 1 else None


def _comparison(
    first: Contestant, second: Contestant, name: str, found: Difference | None, adjusted: float | None, margin: float
) -> Comparison:
    fair = comparable(first, second)
    able = above_chance(second)
    word = conclude(found, p_adjusted=adjusted, margin=margin if able else None, comparable=fair)
    return Comparison(
        first=first.name,
        second=second.name,
        metric=name,
        difference=None if found is None else found.difference,
        interval=None if found is None else found.interval,
        p_value=None if found is None else found.p_value,
        p_adjusted=adjusted,
        conclusion=word,
        test="" if found is None else found.test,
        note=_note(first, second, found, margin, word) + ("" if able else f"; {second.name} is not above chance"),
    )


def _note(first: Contestant, second: Contestant, found: Difference | None, margin: float, word: str) -> str:
    notes = []
    if found is not None:
        notes.append("out of fold" if "nadeau" in found.test else "sealed test")
    if first.pretraining != second.pretraining:
        notes.append(f"unequal pretraining: {first.pretraining} against {second.pretraining}")
    notes += [f"{one.name} leaks: {one.leaks}" for one in (first, second) if one.leaks]
    if word == "not inferior":
        notes.append(f"margin {margin:g}")
    return "; ".join(notes)
