"""Within each source, and on a source that training never saw: how much of a score is the source's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, Indices
from nas.jobs.benchmark_folds import Fold, fewest_groups, with_validation
from nas.jobs.benchmark_scores import Panel, make_sheet
from nas.records import Metric

if TYPE_CHECKING:
    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant

FEWEST_GROUPS = 20  # of a class within a source, for its sensitivity to be worth printing


def by_source(dataset: Dataset, test: Indices, logits: Sequence[NDArray[np.float32]], seed: int) -> tuple[Metric, ...]:
    """Accuracy within each source of the sealed test; balanced accuracy and AUROC where it has two classes or more."""
    found: list[Metric] = []
    for source in np.unique(dataset.source[test]):
        inside = dataset.source[test] == source
        found += _scores(dataset, test[inside], [one[inside] for one in logits], str(source), seed)
    return tuple(found)


def _scores(dataset: Dataset, rows: Indices, logits: Sequence[NDArray[np.float32]], part: str, seed: int) -> list[Metric]:
    classes = np.unique(dataset.labels[rows])
    names = ["accuracy", *(["balanced_accuracy", "auroc"] if len(classes) > 1 else [])]
    sheet = make_sheet(dataset.labels[rows], dataset.group[rows], dataset.classes, part, len(logits), seed=seed)
    shared: dict[str, Any] = {"n": len(rows), "groups": len(np.unique(dataset.group[rows])), "part": part}
    if sheet is None:
        return [Metric(name=name, value=None, note="one group only", **shared) for name in names]
    panel = Panel(sheet, logits)
    note = (
        "" if len(classes) > 1 else f"only {dataset.classes[int(classes[0])]} here: a guess of the source would score as well"
    )
    return [Metric(name=name, value=panel.value(name), interval=panel.interval(name), note=note, **shared) for name in names]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A source to leave out: the fold that does so, or why it cannot be estimated; ``classes`` have enough groups there."""

    source: str
    fold: Fold | None
    classes: tuple[int, ...]
    reason: str = ""


def left_out_folds(arena: Arena) -> tuple[LeftOut, ...]:
    """One fold for each source: trained without it and without every group that also occurs in it."""
    return tuple(_left_out(arena, str(source)) for source in np.unique(arena.dataset.source))


def _left_out(arena: Arena, source: str) -> LeftOut:
    data = arena.dataset
    held_out = np.flatnonzero(data.source == source)
    counts = [len(np.unique(data.group[held_out][data.labels[held_out] == c])) for c in range(len(data.classes))]
    classes = tuple(c for c, groups in enumerate(counts) if groups >= FEWEST_GROUPS)
    if not classes:
        return LeftOut(source, None, (), f"no class has {FEWEST_GROUPS} groups there")
    pool = np.sort(np.concatenate([arena.parts.train, arena.parts.validation]))
    pool = pool[~np.isin(data.group[pool], np.unique(data.group[held_out]))]
    name, groups = fewest_groups(data, pool)
    inner = with_validation(data, pool, arena.settings.seed) if groups >= 3 else None
    if inner is None:
        return LeftOut(source, None, classes, f"without it {groups} groups of {name} are left to train on")
    return LeftOut(source, Fold(0, 0, *inner, held_out, label=f"without-{source}"), classes)


def left_out_metrics(arena: Arena, entrant: Entrant, plans: Sequence[LeftOut], progress: Any) -> tuple[Metric, ...]:
    """Train without each source in turn and score on it: accuracy, balanced accuracy and AUROC of the estimable classes.

    A class with too few groups there takes no part, which the notes say.
    """
    from nas.jobs.benchmark_training import train_fold

    found: list[Metric] = []
    for plan in plans:
        part = f"left out: {plan.source}"
        if plan.fold is None:
            found.append(Metric(name="accuracy", value=None, n=0, groups=0, part=part, note=f"not estimable: {plan.reason}"))
            continue
        result = train_fold(arena, entrant, plan.fold, progress)
        if result.failed:
            found.append(
                Metric(name="accuracy", value=None, n=0, groups=0, part=part, note=f"training failed: {result.failed}")
            )
            continue
        labels = arena.dataset.labels[plan.fold.held_out]
        kept = np.isin(labels, plan.classes)
        few = ", ".join(arena.dataset.classes[c] for c in np.unique(labels[~kept]))
        without = f"without {few}, of fewer than {FEWEST_GROUPS} groups there" if few else ""
        found += [
            metric.model_copy(update={"note": "; ".join(filter(None, (metric.note, without)))})
            for metric in _scores(arena.dataset, plan.fold.held_out[kept], [result.held_out[kept]], part, arena.settings.seed)
        ]
    return tuple(found)
