"""From trainings to the rows of the table: headline on the sealed test, out-of-fold figures, curves, confusion, audit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.files import file_name, read_json, write_json
from nas.jobs.benchmark_comparison import Contestant
from nas.jobs.benchmark_costs import Expense, net_score
from nas.jobs.benchmark_scores import Panel, Sheet, make_sheet
from nas.jobs.benchmark_sources import by_source
from nas.jobs.benchmark_training import FoldResult, picked_rate
from nas.records import BenchmarkRow, Finding, Metric
from nas.statistics.paired import nadeau_bengio
from search_spaces.errors import ToolkitError

if TYPE_CHECKING:
    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant

FOLD_FIGURES = ("balanced_accuracy", "accuracy", "auroc", "log_loss")
ROC_POINTS = 101


def test_sheet(arena: Arena) -> Sheet:
    """The sealed test that everyone is scored on.

    Raises:
        ToolkitError: it has fewer than two groups.
    """
    data, test = arena.dataset, arena.parts.test
    sheet = make_sheet(data.labels[test], data.group[test], data.classes, "test", len(arena.folds), seed=arena.settings.seed)
    if sheet is None:
        raise ToolkitError("the sealed test has fewer than two groups, so nothing can be said about it; bring more images")
    return sheet


def failed_row(entrant: Entrant, settings: Any, reason: str) -> BenchmarkRow:
    """The row of a model that could not be trained or counted."""
    return BenchmarkRow(
        name=entrant.name, kind=entrant.kind, cost=None, recipe=settings.recipe, failed=reason, note=entrant.note
    )


def row(
    arena: Arena,
    entrant: Entrant,
    results: Sequence[FoldResult],
    sheet: Sheet,
    spent: Expense,
    finding: Finding | None,
    left_out: Sequence[Metric],
) -> tuple[BenchmarkRow, Contestant]:
    """One model's row, and what its comparisons need."""
    logits = [result.test for result in results]
    panel = Panel(sheet, logits)
    scores = panel.all_metrics()
    accuracy = next(metric.value for metric in scores if metric.name == "accuracy")
    folds = fold_metrics(arena, results)
    pretraining = results[0].pretraining
    epochs = [result.epochs for result in results]
    rate = picked_rate(arena, entrant)
    tried = "" if rate is None else f"learning rate {rate:g} picked on the first fold's validation"
    notes = [entrant.note, f"{min(epochs)} to {max(epochs)} epochs", tried, f"confusion: sum over {len(results)} trainings"]
    found = BenchmarkRow(
        name=entrant.name,
        kind=entrant.kind,
        cost=spent.cost,
        pretraining=pretraining,
        recipe=entrant.recipe.name,
        test=scores,
        folds=folds,
        by_source=(*by_source(arena.dataset, arena.parts.test, logits, arena.settings.seed), *left_out),
        confusion=tuple(tuple(int(count) for count in line) for line in panel.confusion),
        latency_ms=spent.latency,
        throughput=spent.throughput,
        weight_bytes=spent.weight_bytes,
        net_score=net_score(accuracy, spent.cost),
        diversity=spent.diversity,
        finding=finding,
        curves=curves(arena, results),
        seconds=round(sum(result.seconds for result in results), 2),
        note="; ".join(note for note in notes if note),
    )
    return found, Contestant(entrant.name, entrant.kind, panel, per_fold(folds), pretraining, entrant.leaks)


def fold_metrics(arena: Arena, results: Sequence[FoldResult]) -> tuple[Metric, ...]:
    """Figures of each training on its held-out fold, each with a grouped interval, then their means over the folds."""
    from nas.evaluation import metrics

    data, found = arena.dataset, []
    for result in results:
        rows = result.fold.held_out
        scores = metrics(
            result.held_out, data.labels[rows], data.group[rows], data.classes, part=f"out of fold, {result.fold.name}"
        )
        found += [metric for metric in scores if metric.name in FOLD_FIGURES]
    means = [_mean_over_folds(arena, name, [metric for metric in found if metric.name == name]) for name in FOLD_FIGURES]
    return (*means, *found)


def _mean_over_folds(arena: Arena, name: str, found: Sequence[Metric]) -> Metric:
    from nas.evaluation.metrics import within_range

    values = [metric.value for metric in found]
    known = [value for value in values if value is not None]
    interval = None
    if len(known) == len(values) > 1:
        interval = nadeau_bengio(known, 1 / (arena.settings.folds - 1)).interval
    if interval is not None:  # with few folds Student's t reaches beyond what the figure can be
        interval = within_range(name, interval)
    rows = np.unique(np.concatenate([fold.held_out for fold in arena.folds]))
    return Metric(
        name=name,
        value=float(np.mean(known)) if known else None,
        interval=interval,
        n=len(rows),
        groups=len(np.unique(arena.dataset.group[rows])),
        part=f"out of fold, mean of {len(values)}",
        note="" if known else "not defined on any fold",
    )


def per_fold(folds: Sequence[Metric]) -> list[float]:
    """Balanced accuracy on each held-out fold, in the folds' order."""
    return [
        metric.value if metric.value is not None else float("nan")
        for metric in folds
        if metric.name == "balanced_accuracy" and "mean of" not in metric.part
    ]


def curves(arena: Arena, results: Sequence[FoldResult]) -> dict[str, Any]:
    """ROC curves of each class, averaged over the trainings at equal specificity, and the reliability curve over all trainings."""
    from nas.evaluation import probabilities, reliability_curve, roc_curve

    labels = arena.dataset.labels[arena.parts.test]
    grid = np.linspace(0, 1, ROC_POINTS)
    scores = [probabilities(result.test) for result in results]
    roc: dict[str, Any] = {}
    for column, name in enumerate(arena.dataset.classes):
        positive = labels == column
        if 0 < positive.sum() < len(positive):
            each = [roc_curve(one[:, column], positive) for one in scores]
            heights = [np.interp(grid, one["false_positive_rate"], one["true_positive_rate"]) for one in each]
            roc[name] = {"fpr": _short(grid), "tpr": _short(np.mean(heights, axis=0))}
    reliability = reliability_curve(np.concatenate(scores), np.tile(labels, len(scores)))
    return {"roc": roc, "reliability": {name: _short(values) for name, values in reliability.items()}}


def _short(values: Iterable[float]) -> list[float]:
    return [round(float(value), 5) for value in values]


def audited(arena: Arena, entrant: Entrant, result: FoldResult, progress: Any) -> Finding | None:
    """The inquisitor's finding on the first training, on images it never saw: the audit part and its held-out fold."""
    from nas.evaluation import load_candidate
    from nas.inquisitor import audit_model

    level, path = arena.settings.audit, arena.home(entrant) / "audit.json"
    if level == "none":
        return None
    rows = np.sort(np.concatenate([arena.parts.audit, result.fold.held_out]))
    if not arena.masked.has_mask[rows].any():
        return None
    if path.exists():
        return Finding.model_validate_json(path.read_text(encoding="utf-8"))
    progress.message(f"{entrant.name}: {level} audit on {len(rows):,} images")
    model = load_candidate(result.directory).model.to(arena.device)
    finding = audit_model(
        model, arena.masked, rows, level=level, seed=arena.settings.seed, device=arena.device,
        pictures_dir=arena.directory / "audits" / file_name(entrant.name),
    )  # fmt: skip
    write_json(path, finding.model_dump(mode="json"))
    write_json(result.directory / "audit.json", read_json(path))
    return finding
