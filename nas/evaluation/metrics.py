"""Every figure that is printed about a classifier's predictions, each with n, groups and an interval that respects groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.evaluation import calibration, counts
from nas.evaluation.quality import Floats, image_losses, probabilities, quality
from nas.records import Interval, Metric
from nas.statistics import bootstrap, intervals, ranking
from nas.statistics.groups import Groups, codes, effective_groups, group_sums, groups_per_class
from search_spaces.errors import InputError

Statistic = Callable[[Floats], Floats]
RANGES = {
    "log_loss": (0.0, float("inf")),
    "latency": (0.0, float("inf")),
    "mcc": (-1.0, 1.0),
    "brier": (0.0, 2.0),
}  # all others: 0 to 1


def confusion_matrix(logits: ArrayLike, labels: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the truth, columns the prediction."""
    predicted = np.asarray(logits).argmax(axis=1)
    return np.bincount(np.asarray(labels) * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def metrics(
    logits: ArrayLike,
    labels: ArrayLike,
    groups: Groups,
    classes: Sequence[str],
    part: str = "validation",
    *,
    with_intervals: bool = True,
    full: bool = False,
    seed: int = 0,
    draws: int = bootstrap.DRAWS,
    level: float = 0.95,
) -> tuple[Metric, ...]:
    """Score predictions.

    Args:
        logits: (n, classes).
        labels: (n,), index into ``classes``.
        groups: what is independent of what, (n,): patients or duplicate clusters. ``None``: every image on its own.
        with_intervals: leave out for speed where nothing is printed.
        full: also the rest of a benchmark's table.
        seed: of the bootstrap.

    Returns:
        ``log_loss`` (class-balanced), ``accuracy``, ``balanced_accuracy``, ``auroc`` (macro, one-vs-rest), ``mcc``,
        then per class ``sensitivity[c]``, ``specificity[c]``, ``ppv[c]``, ``npv[c]``, ``f1[c]``, ``auroc[c]``; with ``full``
        further ``mean_one_vs_rest_accuracy``, ``macro_…`` of the five ratios, ``brier``, ``ece``,
        ``sensitivity_at_95_specificity[c]``.
        A figure that cannot be computed (a class is absent) has the value ``None`` and says why.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if scores.shape != (len(truth), len(classes)):
        raise InputError(f"logits must be ({len(truth)}, {len(classes)}) for these labels and classes, but got {scores.shape}")
    if len(truth) == 0:
        return ()
    table = _Table(scores, truth, groups, tuple(classes), part, with_intervals, level, np.random.default_rng(seed), draws)
    found = [*table.overall(), *(m for c in range(len(classes)) for m in table.one_class(c))]
    return tuple(found + (table.further() if full else []))


def within_range(name: str, interval: Interval) -> Interval:
    """An interval cut to what the figure can be: for few groups Student's t, or a bootstrap's widening, leads out of it."""
    least, most = metric_range(name)
    return interval.model_copy(update={"low": max(interval.low, least), "high": min(interval.high, most)})


def metric_range(name: str) -> tuple[float, float]:
    """The least and the most that the figure of this name can be."""
    return RANGES.get(name, (0.0, 1.0))


def metric_names(classes: Sequence[str]) -> tuple[str, ...]:
    """The names of what ``metrics`` says of a classifier of these classes, in its order."""
    one_each = np.arange(len(classes))
    return tuple(m.name for m in metrics(np.eye(len(classes)), one_each, None, classes, with_intervals=False))


class _Table:
    """Predictions with what all figures share: probabilities, group codes, counts within groups, one set of bootstrap draws."""

    def __init__(
        self,
        logits: Floats,
        truth: NDArray[np.int64],
        groups: Groups,
        classes: tuple[str, ...],
        part: str,
        with_intervals: bool,
        level: float,
        rng: np.random.Generator,
        draws: int,
    ) -> None:
        self.logits, self.truth, self.classes, self.part = logits, truth, classes, part
        self.n, self.k = len(truth), len(classes)
        self.probabilities = probabilities(logits)
        self.predicted = logits.argmax(axis=1)
        self.code, self.n_groups = codes(groups, self.n)
        self.groups: Groups = None if self.n_groups == self.n else self.code
        self.level = level
        self.effective = effective_groups(groups_per_class(truth, self.code))  # what a mean over classes rests on
        self.intervals = with_intervals and self.n_groups > 1
        cell = truth * self.k + self.predicted
        self.counts = confusion_matrix(logits, truth, self.k).astype(np.float64).reshape(1, -1)
        self.rng, self.draws = rng, draws
        self.drawn: Floats | None = None  # confusion matrices of bootstrap draws
        if self.intervals:
            within = np.bincount(self.code * self.k**2 + cell, minlength=self.n_groups * self.k**2).reshape(self.n_groups, -1)
            self.drawn = bootstrap.from_sums(within, lambda totals: totals, rng=rng, draws=draws)

    def overall(self) -> list[Metric]:
        loss, _ = quality(self.logits, self.truth)
        right = self.predicted == self.truth
        return [
            self._metric("log_loss", loss, self._loss_interval, unit="nats"),
            self._metric("accuracy", float(right.mean()), lambda: intervals.proportion(right, self.groups, self.level)),
            self._counted("balanced_accuracy", partial(counts.macro, name="sensitivity"), self._balanced_interval),
            self._auroc(),
            self._counted("mcc", counts.matthews, self._correlation_interval),
        ]

    def one_class(self, c: int) -> list[Metric]:
        name, own, called = self.classes[c], self.truth == c, self.predicted == c
        return [
            self._share(f"sensitivity[{name}]", called, own, f"no image of {name}"),
            self._share(f"specificity[{name}]", ~called, ~own, f"only images of {name}"),
            self._share(f"ppv[{name}]", own, called, f"{name} was never predicted"),
            self._share(f"npv[{name}]", ~own, ~called, f"only {name} was predicted"),
            self._counted(
                f"f1[{name}]", lambda tables: counts.ratio(tables, "f1")[:, c], partial(self._f1_interval, own, called)
            ),
            self._class_auroc(c),
        ]

    def further(self) -> list[Metric]:
        squares = ((self.probabilities - np.eye(self.k)[self.truth]) ** 2).sum(axis=1)
        found = [
            self._counted("mean_one_vs_rest_accuracy", counts.mean_one_vs_rest_accuracy),
            self._counted("macro_sensitivity", partial(counts.macro, name="sensitivity"), self._balanced_interval),
            *(self._counted(f"macro_{name}", partial(counts.macro, name=name)) for name in counts.RATIOS[1:]),
            self._metric("brier", float(squares.mean()), lambda: intervals.mean(squares, self.groups, self.level)),
            self._calibration_error(),
        ]
        return found + [self._sensitivity_at(c, 0.95) for c in range(self.k)]

    def _metric(
        self,
        name: str,
        value: float | None,
        interval: Callable[[], Interval | None] | None = None,
        n: int | None = None,
        groups: int | None = None,
        note: str = "",
        unit: str = "",
    ) -> Metric:
        if value is not None and not np.isfinite(value):
            value, note = None, note or "not defined on these images"
        found = interval() if interval is not None and value is not None and self.intervals else None
        return Metric(
            name=name,
            value=value,
            interval=None if found is None else within_range(name, found),
            n=self.n if n is None else n,
            groups=self.n_groups if groups is None else groups,
            part=self.part,
            unit=unit,
            note=note,
        )

    def _share(self, name: str, hit: NDArray[np.bool_], among: NDArray[np.bool_], absent: str) -> Metric:
        """A proportion among a subset of the images, which brings its own n and groups."""
        n = int(among.sum())
        if n == 0:
            return self._metric(name, None, n=0, groups=0, note=absent)
        inside, own = hit[among], self.code[among]
        return self._metric(
            name, float(inside.mean()), lambda: intervals.proportion(inside, own, self.level), n, len(np.unique(own))
        )

    def _counted(self, name: str, statistic: Statistic, interval: Callable[[], Interval | None] | None = None) -> Metric:
        """A function of the confusion matrix, bootstrapped over groups where it has no interval of its own."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(statistic(self.counts)[0])
        return self._metric(name, value, interval or partial(self._bootstrapped, statistic))

    def _bootstrapped(self, statistic: Statistic) -> Interval | None:
        if self.drawn is None:
            return None
        if (self.predicted == self.truth).all():  # no draw can differ: what balanced accuracy may be at least
            return self._balanced_interval()
        with np.errstate(invalid="ignore", divide="ignore"):
            return bootstrap.interval(statistic(self.drawn), self.effective, self.level)

    def _balanced_interval(self) -> Interval:
        return intervals.class_mean(self.predicted == self.truth, self.truth, self.groups, self.level)

    def _correlation_interval(self) -> Interval | None:
        """Of Matthews' correlation; where all are right, balanced accuracy's with chance at 0 (the same for equal classes)."""
        present = len(np.unique(self.truth))
        if present < 2:  # 0 by convention, whatever is predicted
            return None
        found = self._bootstrapped(counts.matthews)
        if found is None or (self.predicted != self.truth).any():
            return found
        return found.model_copy(update={"low": (present * found.low - 1) / (present - 1)})

    def _f1_interval(self, own: NDArray[np.bool_], called: NDArray[np.bool_]) -> Interval:
        """F1 = 2J / (1 + J) of J, the share of right ones among images that are of the class or called so: a proportion."""
        among = own | called
        found = intervals.proportion((own & called)[among], self.code[among], self.level)
        return found.model_copy(update={"low": 2 * found.low / (1 + found.low), "high": 2 * found.high / (1 + found.high)})

    def _loss_interval(self) -> Interval | None:
        """Class-balanced log-loss: a mean of ratios, linearised; cluster-robust, t."""
        losses = image_losses(self.logits, self.truth)
        influence = np.zeros(self.n)
        present = np.unique(self.truth)
        for c in present:
            own = self.truth == c
            influence[own] = (losses[own] - losses[own].mean()) / own.sum() / len(present)
        sums = group_sums(influence, self.code, self.n_groups)
        error = float(np.sqrt(self.n_groups / (self.n_groups - 1) * (sums**2).sum()))
        value, _ = quality(self.logits, self.truth)
        return intervals.t_interval(value, error, self.effective - 1, self.level, "t, linearised, cluster-robust")

    def _auroc(self) -> Metric:
        if len(np.unique(self.truth)) < 2:
            return self._metric("auroc", None, note="images of one class only")
        value = ranking.macro_auc(self.probabilities, self.truth)
        return self._metric(
            "auroc", value, lambda: ranking.macro_auc_interval(self.probabilities, self.truth, self.groups, self.level)
        )

    def _class_auroc(self, c: int) -> Metric:
        name, own, scores = f"auroc[{self.classes[c]}]", self.truth == c, self.probabilities[:, c]
        if own.all() or not own.any():
            return self._metric(name, None, note=f"no image {'outside' if own.all() else 'of'} {self.classes[c]}")
        return self._metric(name, ranking.auc(scores, own), lambda: ranking.auc_interval(scores, own, self.groups, self.level))

    def _calibration_error(self) -> Metric:
        sums = calibration.bin_sums(self.probabilities, self.truth, self.code, self.n_groups)
        value = float(calibration.calibration_error(sums.sum(axis=0, keepdims=True))[0])
        return self._metric(
            "ece",
            value,
            lambda: bootstrap.reflected(self._drawn_interval(lambda w: calibration.calibration_error(w @ sums)), value),
        )

    def _sensitivity_at(self, c: int, specificity: float) -> Metric:
        name, own = f"sensitivity_at_{specificity * 100:.0f}_specificity[{self.classes[c]}]", self.truth == c
        if own.all() or not own.any():
            return self._metric(name, None, note="needs images of the class and of others")
        scores = self.probabilities[:, c]
        value = float(calibration.sensitivity_at(scores, own, specificity, np.ones((1, self.n)))[0])
        return self._metric(
            name,
            value,
            lambda: self._drawn_interval(lambda w: calibration.sensitivity_at(scores, own, specificity, w[:, self.code])),
        )

    def _drawn_interval(self, statistic: Statistic) -> Interval | None:
        """Interval of a statistic of group weights, (draws, groups) → (draws,)."""
        drawn = bootstrap.by_chunks(statistic, self.n_groups, self.draws, self.rng)
        return bootstrap.interval(drawn, self.n_groups, self.level)
