"""The figures of a search's page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nas.records import CandidateRecord, Metric, SearchRecord, TrialRecord
from nas.report import formatting as fmt
from nas.report.charts.bars import Bar, bars, stacked
from nas.report.charts.curves import Series, curves
from nas.report.charts.parallel import CLASSES, Axis, Strand, parallel
from nas.report.charts.scatter import Point, scatter
from nas.report.importance import Importances, importances
from nas.report.structure import Chosen, chosen, decision_orders, space_of

FLOPS_AXIS = "FLOPs for one image (multiply–accumulates, log scale)"
MOST_AXES = 12
_SHAPES = {"pass": "circle", "fail": "cross", "undecided": "triangle", None: "square"}


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def objective_of(record: SearchRecord) -> str:
    """What the search minimised; earlier versions knew the log-loss only."""
    return str(record.settings.get("objective", "log_loss"))


def completed(record: SearchRecord) -> list[TrialRecord]:
    """Trials that have a quality."""
    return [trial for trial in record.trials if trial.outcome == "completed" and trial.quality is not None]


def non_dominated(points: Sequence[tuple[float, float]], *, higher_is_better: bool) -> list[tuple[float, float]]:
    """The (cost, value) points that no cheaper one equals or beats, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], -p[1] if higher_is_better else p[1])):
        if not front or (value > front[-1][1] if higher_is_better else value < front[-1][1]):
            front.append((cost, value))
    return front


def trial_tip(trial: TrialRecord, objective: str) -> str:
    """What hovering over a trial says."""
    error = f" ± {fmt.number(trial.standard_error)}" if trial.standard_error else ""
    accuracy = fmt.find_metric(trial.metrics, "balanced_accuracy", "validation")
    lines = [
        f"trial {trial.number}: {trial.key}",
        f"{fmt.flops(trial.cost.flops)}, {fmt.si(trial.cost.parameters)} parameters",
        f"{fmt.objective_name(objective)} {fmt.number(trial.quality)}{error}",
        f"balanced accuracy {fmt.metric_text(accuracy)}" if accuracy else "",
        f"screen: {fmt.verdict_text(trial.verdict)}",
    ]
    return " · ".join(line for line in lines if line)


def front_charts(record: SearchRecord) -> list[Markup]:
    """Balanced accuracy and the objective over FLOPs; empty where nothing was completed."""
    trials = completed(record)
    if not trials:
        return []
    charts = [_accuracy_chart(record, trials), _quality_chart(record, trials)]
    return [chart for chart in charts if chart is not None]


def _point(record: SearchRecord, trial: TrialRecord, value: float, low: float | None, high: float | None) -> Point:
    """A trial's mark: shape and colour tell the screen's verdict, large ones are candidates of the front."""
    names, tip = _names(record), trial_tip(trial, objective_of(record))
    radius = 7.5 if trial.key in names else 4.5
    shape, label = _SHAPES[trial.verdict], names.get(trial.key, "")
    return Point(trial.cost.flops, value, low, high, f"c-{trial.verdict or 'none'}", shape, tip, label, radius)


def _legend(trials: Sequence[TrialRecord]) -> list[tuple[str, str, str]]:
    verdicts = [v for v in ("pass", "undecided", "fail", None) if any(t.verdict == v for t in trials)]
    words = {"pass": "screen passes", "undecided": "screen undecided", "fail": "screen fails", None: "not screened"}
    return [(f"c-{v or 'none'}", _SHAPES[v], words[v]) for v in verdicts] + [("front", "line", "front")]


def _names(record: SearchRecord) -> dict[str, str]:
    names = {candidate.key: "" for candidate in record.front}
    if record.best:
        names[record.best.key] = "best"
    if record.winner:
        names[record.winner.key] = "winner"
    return names


def _accuracy_chart(record: SearchRecord, trials: Sequence[TrialRecord]) -> Markup | None:
    measured = [(t, fmt.find_metric(t.metrics, "balanced_accuracy", "validation")) for t in trials]
    known: list[tuple[TrialRecord, Metric, float]] = [
        (t, m, m.value) for t, m in measured if m is not None and m.value is not None
    ]
    if not known:
        return None
    points = [
        _point(record, t, value, m.interval.low if m.interval else None, m.interval.high if m.interval else None)
        for t, m, value in known
    ]
    control = fmt.find_metric(record.controls, "balanced_accuracy", "validation")
    return scatter(
        points, "Balanced accuracy on validation", FLOPS_AXIS, "balanced accuracy (%)",
        x_format=fmt.tick, y_format=_percent, front=non_dominated([(p.x, p.y) for p in points], higher_is_better=True),
        reference=(control.value, f"trivial features alone ({control.part})") if control and control.value is not None else None,
        limit=record.budget.get("flops"), limit_text="budget", legend=_legend(trials),
        caption="Bars: 95 % intervals that respect groups. Large marks: candidates of the front. Figures that picked the winner are biased upward; see its test figures.",
    )  # fmt: skip


def _quality_chart(record: SearchRecord, trials: Sequence[TrialRecord]) -> Markup:
    points, objective = [], objective_of(record)
    for t in trials:
        quality, half = t.quality or 0.0, 1.96 * t.standard_error if t.standard_error else None
        points.append(_point(record, t, quality, quality - half if half else None, quality + half if half else None))
    return scatter(
        points, "The objective: lower is better", FLOPS_AXIS, fmt.objective_axis(objective),
        x_format=fmt.tick, front=non_dominated([(p.x, p.y) for p in points], higher_is_better=False),
        limit=record.budget.get("flops"), limit_text="budget", legend=_legend(trials),
        caption=f"Bars: ± 1.96 standard errors of the validation {fmt.objective_name(objective)}. The front is formed on these two figures.",
    )  # fmt: skip


def course_charts(record: SearchRecord) -> list[Markup]:
    """Best so far, where the proposals went, where the time went."""
    charts = [] if not completed(record) else [_best_so_far(record)]
    counted = record.accounting
    outcomes = [
        Bar("completed", counted.completed, class_="c-pass", text=str(counted.completed)),
        Bar("pruned", counted.pruned, class_="s1", text=str(counted.pruned)),
        Bar("repeated (cached)", counted.repeated, class_="s7", text=str(counted.repeated)),
        Bar("over budget (never trained)", counted.over_budget, class_="c-undecided", text=str(counted.over_budget)),
        Bar("failed", counted.failed, class_="c-fail", text=str(counted.failed)),
    ]
    spent = [stacked(outcomes, "Where the proposals went", "proposals (count)")] if any(bar.value for bar in outcomes) else []
    if counted.seconds:
        phases = sorted(counted.seconds.items(), key=lambda item: -item[1])
        unit, unit_name = (60, "minutes") if phases[0][1] >= 120 else (1, "seconds")
        items = [Bar(name, seconds / unit, text=fmt.duration(seconds)) for name, seconds in phases]
        spent.append(bars(items, "Where the time went", f"{unit_name} of work"))
    return [*charts, Markup("<div>{}</div>").format(Markup("").join(spent))] if spent else charts


def _best_so_far(record: SearchRecord) -> Markup:
    trials = sorted(completed(record), key=lambda trial: trial.number)
    best, stairs = float("inf"), []
    for trial in trials:
        best = min(best, trial.quality if trial.quality is not None else best)
        stairs.append((float(trial.number), best))
    points = [(float(t.number), t.quality or 0.0) for t in trials]
    objective = objective_of(record)
    tips = [trial_tip(t, objective) for t in trials]
    return curves(
        [
            Series("each trial", points, "s7", "circle", marked=True, tips=tips, line=False),
            Series("best so far", stairs, "s1", stepped=True),
        ],
        "Best so far", "trial (number)", fmt.objective_axis(objective), whole=True,
    )  # fmt: skip


def decision_charts(record: SearchRecord, subject: CandidateRecord | None) -> list[Markup]:
    """Parallel coordinates and importances."""
    trials = completed(record)
    if len(trials) < 2:
        return []
    space = space_of({**trials[0].architecture, "space": record.space})
    orders, picked = decision_orders(record, space), chosen(record, space)
    found = importances(record.trials, orders, picked)
    varied = [name for name in orders if len({picked[t.key].get(name) for t in trials}) > 1]
    ranked = [item.decision for item in found.items] if found else varied
    shown = set(ranked[:MOST_AXES])
    axes = [Axis(name, tuple(orders[name])) for name in orders if name in shown]
    if not axes:
        return []
    charts = [_importance_chart(found)] if found else []
    chief = "most important" if found else "first"
    which = (
        f"The {len(axes)} {chief} of {len(varied)} decisions that varied"
        if len(varied) > len(axes)
        else "All decisions that varied"
    )
    caption = f"{which}; one line a candidate, coloured by its {fmt.objective_name(objective_of(record))}; it skips decisions that do not matter to it."
    charts.append(
        parallel(axes, _strands(record, trials, axes, picked, subject), "Decisions of the trained candidates", caption)
    )
    return charts


def _strands(
    record: SearchRecord,
    trials: Sequence[TrialRecord],
    axes: Sequence[Axis],
    picked: Chosen,
    subject: CandidateRecord | None,
) -> list[Strand]:
    ranked = sorted(trials, key=lambda t: t.quality if t.quality is not None else float("inf"))
    return [
        Strand(
            tuple(picked[t.key].get(axis.name) for axis in axes),
            1 + index * CLASSES // len(ranked),
            trial_tip(t, objective_of(record)),
            highlighted=subject is not None and t.key == subject.key,
        )
        for index, t in enumerate(ranked)
    ]


def _importance_chart(found: Importances) -> Markup:
    arrows = {True: "larger is worse", False: "larger is better"}
    items = []
    for item in found.items[:MOST_AXES]:
        direction = arrows[item.correlation > 0] if item.correlation is not None and abs(item.correlation) > 0.3 else ""
        tip = f"{item.decision}: {100 * item.share:.0f} % of rank variance" + (f" · {direction}" if direction else "")
        class_ = "s1" if item.share > found.noise else "c-none"
        items.append(Bar(item.decision, 100 * item.share, class_=class_, text=f"{100 * item.share:.0f} %", tip=tip))
    clear = sum(item.share > found.noise for item in found.items)
    stands = (
        f"{clear} of {len(found.items)} {'stands' if clear == 1 else 'stand'} clear of noise"
        if clear
        else "None stands clear of noise"
    )
    return bars(
        items, "Importance of decisions", "share of the quality's rank variance explained (%)", x_format=lambda v: f"{v:g}",
        marker=(100 * found.noise, "noise"),
        caption=f"{stands} with {found.trials} candidates. Each decision by itself (bias-corrected ε² on ranks); dashed: what the largest "
        "of all reaches in 95 % of random shuffles; grey bars may be noise. Interactions are not seen.",
    )  # fmt: skip


def training_charts(record: SearchRecord, subject: CandidateRecord | None) -> list[Markup]:
    """Validation curves of the front's trials, and the subject's losses."""
    by_key = {trial.key: trial for trial in record.trials if trial.history}
    keys = list(dict.fromkeys(candidate.key for candidate in (subject, *record.front) if candidate is not None))
    shown = [by_key[key] for key in keys if key in by_key][:6]
    if not shown:
        return []
    charts = [_history_chart(shown, "log_loss", "Validation loss of the front", fmt.objective_axis("log_loss"))]
    charts.append(_history_chart(shown, "balanced_accuracy", "Validation accuracy of the front", "balanced accuracy"))
    history = shown[0].history
    both = [
        Series(
            "training",
            [(e.epoch, e.train_loss) for e in history],
            "s1",
            marked=True,
            tips=[f"epoch {e.epoch}: {e.train_loss:.3f}" for e in history],
        ),
        Series(
            "validation",
            [(e.epoch, e.validation["log_loss"]) for e in history if "log_loss" in e.validation],
            "s2 dashed",
            "square",
            marked=True,
        ),
    ]
    charts.append(
        curves(
            both,
            f"Trial {shown[0].number}: training against validation",
            "epoch",
            "loss (nats)",
            whole=True,
        )
    )
    return [chart for chart in charts if chart]


def _history_chart(trials: Sequence[TrialRecord], name: str, title: str, label: str) -> Markup:
    series = []
    for index, trial in enumerate(trials):
        points = [(float(e.epoch), e.validation[name]) for e in trial.history if name in e.validation]
        tips = [f"trial {trial.number}, epoch {x:g}: {y:.3f}" for x, y in points]
        if points:
            series.append(Series(f"trial {trial.number}", points, f"s{index + 1}", marked=True, tips=tips))
    return curves(series, title, "epoch", label, whole=True) if series else Markup("")
