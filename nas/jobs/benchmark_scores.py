"""Scores of one model's trainings on the same images: the mean over trainings, with intervals that respect images and trainings.

A model was trained several times (folds × seeds), and every training predicts the same sealed images. The headline is the
mean of a figure over the trainings; scores of different trainings are never pooled. Its interval comes from a two-way
bootstrap (Owen 2007): groups of images and trainings are both drawn with replacement, so that it holds for other patients
and for other trainings. All models share the draws, so that differences between models are paired in both ways.

Measured coverage of the nominal 95 % (300 simulated benchmarks each, accuracy, 100 groups of 2, independent trainings): 0.92
to 0.97 for 5 and 10 trainings; for 2 and 3 trainings 0.93 to 0.97 while trainings differ by up to 5 points, 0.82 to 0.84 when they
differ by 13. Trainings on folds of one data set share images, which no bootstrap sees; more seeds do not mend that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from nas.evaluation import calibration, counts
from nas.evaluation.metrics import RANGES, metrics, within_range
from nas.evaluation.quality import image_losses, probabilities
from nas.records import Interval, Metric
from nas.statistics import bootstrap
from nas.statistics.groups import Floats, codes, group_sums
from nas.statistics.intervals import proportion
from nas.statistics.ranking import weighted_auc

DRAWS = 1_000
FEW_DRAWS = 200  # for figures that need a sort in every draw
_CHUNK = 100
Drawn = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Sheet:
    """The images that everyone is scored on, and the draws that everyone shares.

    Attributes:
        labels: (n,); code: group of each image, (n,) in 0..groups − 1.
        group_draws: how often each group is drawn, (draws, groups); training_draws: each training, (draws, trainings).
    """

    labels: NDArray[np.int64]
    code: NDArray[np.int64]
    groups: NDArray[np.str_]
    classes: tuple[str, ...]
    part: str
    group_draws: Floats
    training_draws: Floats

    @property
    def n_groups(self) -> int:
        """Independent groups."""
        return self.group_draws.shape[1]

    @property
    def method(self) -> str:
        """What the intervals are called."""
        several = self.training_draws.shape[1] > 1
        return "two-way cluster bootstrap (groups, trainings)" if several else "cluster bootstrap"


def make_sheet(
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    classes: Sequence[str],
    part: str,
    trainings: int,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Sheet | None:
    """A sheet for images of at least two groups; None below that, where nothing can be estimated."""
    code, n_groups = codes(groups, len(labels))
    if n_groups < 2:
        return None
    rng = np.random.default_rng([seed, len(labels)])
    weights = bootstrap.group_weights(n_groups, draws, rng)
    return Sheet(labels, code, groups, tuple(classes), part, weights, training_weights(trainings, draws, rng))


def training_weights(trainings: int, draws: int, rng: np.random.Generator) -> Floats:
    """How much each training counts in each draw, (draws, trainings), rows summing to the number of trainings.

    Drawn with replacement, then spread by √(J / (J − 1)), since J drawn trainings vary less than J new ones would.
    """
    if trainings == 1:
        return np.ones((draws, 1))
    drawn = bootstrap.group_weights(trainings, draws, rng)
    return 1 + np.sqrt(trainings / (trainings - 1)) * (drawn - 1)


class Panel:
    """One model's logits on a sheet, (trainings, n, classes)."""

    def __init__(self, sheet: Sheet, logits: Sequence[NDArray[np.float32]]) -> None:
        self.sheet = sheet
        self.logits = [np.asarray(one, dtype=np.float64) for one in logits]
        self.k = len(sheet.classes)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts (classes, classes) summed over the trainings: rows truth, columns prediction."""
        return sum(self._table(one) for one in self.logits)  # type: ignore[return-value]

    def _table(self, logits: Floats) -> NDArray[np.int64]:
        cell = self.sheet.labels * self.k + logits.argmax(axis=1)
        return np.bincount(cell, minlength=self.k**2).reshape(self.k, self.k)

    def all_metrics(self) -> tuple[Metric, ...]:
        """Every figure, mean over the trainings, with its interval."""
        sheet = self.sheet
        each = [
            metrics(one, sheet.labels, sheet.groups, sheet.classes, sheet.part, with_intervals=False, full=True)
            for one in self.logits
        ]
        return (*(self._mean(found) for found in zip(*each, strict=True)), *self._class_accuracies())

    def _class_accuracies(self) -> list[Metric]:
        """One-vs-rest accuracy of each class, which some papers print as "accuracy"."""
        sheet, note = self.sheet, "one-vs-rest; not top-1"
        names = [f"accuracy[{name}]" for name in sheet.classes]
        shared = {"n": len(sheet.labels), "groups": sheet.n_groups, "part": sheet.part, "note": note}
        return [Metric(name=name, value=self.value(name), interval=self.interval(name), **shared) for name in names]

    def _mean(self, found: Sequence[Metric]) -> Metric:
        known = [metric.value for metric in found if metric.value is not None]
        first = found[0]
        if not known:
            return first
        undefined = len(found) - len(known)
        notes = [f"mean of {len(found)} trainings"] if len(found) > 1 else []
        notes += [f"not defined for {undefined} of them"] if undefined else []
        return first.model_copy(
            update={
                "value": float(np.mean(known)),
                "interval": self.interval(first.name),
                "n": round(float(np.mean([metric.n for metric in found]))),
                "groups": round(float(np.mean([metric.groups for metric in found]))),
                "note": "; ".join(notes),
            }
        )

    def interval(self, name: str) -> Interval | None:
        """The interval of one figure; None where it has no draws."""
        drawn = self.draws(name)
        found = None if drawn is None else bootstrap.interval(drawn, self.sheet.n_groups, method=self.sheet.method)
        if found is None:
            return None
        found = within_range(name, found)
        return found if found.low < found.high else self._unanimous(name, found)

    def _unanimous(self, name: str, found: Interval) -> Interval:
        """Every draw agrees, which is no certainty: what one training alone is given, by the images that the figure rests on."""
        alone = self._alone.get(name, found)
        if alone.low < alone.high or found.low not in (0.0, 1.0) or name in RANGES:
            return alone
        base, _, rest = name.partition("[")
        own = np.full(len(self.sheet.labels), True)
        if rest and base != "accuracy":  # a share of the class's images
            own = self.sheet.labels == self.sheet.classes.index(rest[:-1])
        return proportion(np.full(own.sum(), found.low), self.sheet.code[own])

    @cached_property
    def _alone(self) -> dict[str, Interval]:
        """The interval of each figure by the first training that has one."""
        sheet, found = self.sheet, dict[str, Interval]()
        for one in self.logits:
            for metric in metrics(one, sheet.labels, sheet.groups, sheet.classes, sheet.part, full=True):
                if metric.interval is not None:
                    found.setdefault(metric.name, metric.interval)
        return found

    def value(self, name: str) -> float | None:
        """The mean of one figure over the trainings."""
        everyone = np.ones((1, self.sheet.n_groups))
        per_training = self._per_training(name, everyone)
        if per_training is None:
            return None
        known = per_training[0][np.isfinite(per_training[0])]
        return float(known.mean()) if len(known) else None

    def draws(self, name: str) -> Floats | None:
        """Bootstrap draws of one figure, (draws,); None for an unknown figure."""
        if name not in self._cache:
            few = FEW_DRAWS if name.startswith("sensitivity_at") else len(self.sheet.group_draws)
            per_training = self._per_training(name, self.sheet.group_draws[:few])
            self._cache[name] = None if per_training is None else _combine(per_training, self.sheet.training_draws[:few])
        return self._cache[name]

    @cached_property
    def _cache(self) -> dict[str, Floats | None]:
        return {}

    def _per_training(self, name: str, weights: Floats) -> Floats | None:
        """(draws, trainings) of a figure under group weights (draws, groups)."""
        statistic = self._statistic(name)
        if statistic is None:
            return None
        return np.stack([statistic(one, weights) for one in self.logits], axis=1)

    def _statistic(self, name: str) -> Drawn | None:
        base, _, rest = name.partition("[")
        column = self.sheet.classes.index(rest[:-1]) if rest else -1
        whole: dict[str, Callable[[Floats], Floats]] = {
            "accuracy": counts.accuracy,
            "balanced_accuracy": lambda t: counts.macro(t, "sensitivity"),
            "mcc": counts.matthews,
            "mean_one_vs_rest_accuracy": counts.mean_one_vs_rest_accuracy,
            **{f"macro_{ratio}": partial(counts.macro, name=ratio) for ratio in counts.RATIOS},
        }  # fmt: skip
        if not rest and base in whole:
            return lambda logits, weights: whole[base](self._drawn_tables(logits, weights))
        if rest and base in counts.RATIOS:
            return lambda logits, weights: counts.ratio(self._drawn_tables(logits, weights), base)[:, column]
        if rest and base == "accuracy":
            return lambda logits, weights: one_vs_rest(self._drawn_tables(logits, weights))[:, column]
        if base == "auroc":
            chosen = [column] if rest else list(range(self.k))
            return lambda logits, weights: self._areas(logits, weights, chosen)
        if base == "log_loss":
            return self._balanced_loss
        if base == "brier":
            return self._brier
        if base == "ece":
            return self._calibration_error
        if base.startswith("sensitivity_at"):
            share = int(base.split("_")[2]) / 100
            return lambda logits, weights: calibration.sensitivity_at(
                probabilities(logits)[:, column], self.sheet.labels == column, share, weights[:, self.sheet.code]
            )
        return None

    def _drawn_tables(self, logits: Floats, weights: Floats) -> Floats:
        cell = self.sheet.labels * self.k + logits.argmax(axis=1)
        within = np.bincount(self.sheet.code * self.k**2 + cell, minlength=self.sheet.n_groups * self.k**2)
        return weights @ within.reshape(self.sheet.n_groups, -1).astype(np.float64)

    def _areas(self, logits: Floats, weights: Floats, columns: list[int]) -> Floats:
        scores, found = probabilities(logits), []
        for column in columns:
            positive = self.sheet.labels == column
            if 0 < positive.sum() < len(positive):
                found.append(weighted_areas(scores[:, column], positive, weights, self.sheet.code))
        return np.mean(found, axis=0) if found else np.full(len(weights), np.nan)

    def _balanced_loss(self, logits: Floats, weights: Floats) -> Floats:
        one_hot = np.eye(self.k)[self.sheet.labels]
        losses = image_losses(logits, self.sheet.labels)
        sums = self._totals(np.concatenate([one_hot * losses[:, None], one_hot], axis=1), weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums[:, : self.k] / sums[:, self.k :]
        known = np.isfinite(means)
        return np.where(known, means, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)

    def _brier(self, logits: Floats, weights: Floats) -> Floats:
        squares = ((probabilities(logits) - np.eye(self.k)[self.sheet.labels]) ** 2).sum(axis=1)
        sums = self._totals(np.stack([squares, np.ones_like(squares)], axis=1), weights)
        return sums[:, 0] / sums[:, 1]

    def _calibration_error(self, logits: Floats, weights: Floats) -> Floats:
        sums = calibration.bin_sums(probabilities(logits), self.sheet.labels, self.sheet.code, self.sheet.n_groups)
        return calibration.calibration_error(weights @ sums.reshape(self.sheet.n_groups, -1))

    def _totals(self, values: Floats, weights: Floats) -> Floats:
        return weights @ group_sums(values, self.sheet.code, self.sheet.n_groups)


def one_vs_rest(tables: Floats) -> Floats:
    """(TP + TN) / n of each class, (draws, classes)."""
    hits, _, _, rest = counts.cells(tables)
    return (hits + rest) / tables.sum(axis=1, keepdims=True)


def _combine(per_training: Floats, training_draws: Floats) -> Floats:
    """Mean over the drawn trainings of every draw, (draws,); trainings where a figure is not defined are left out."""
    known = np.isfinite(per_training)
    shares = training_draws * known
    with np.errstate(invalid="ignore", divide="ignore"):
        return (shares * np.where(known, per_training, 0.0)).sum(axis=1) / shares.sum(axis=1)


def weighted_areas(scores: Floats, positive: NDArray[np.bool_], weights: Floats, code: NDArray[np.int64]) -> Floats:
    """Area under the ROC curve under each weighting of the groups, (draws,); ties count half.

    Args:
        scores, positive: (n,). weights: (draws, groups). code: group of each image, (n,).
    """
    parts = (weights[first : first + _CHUNK] for first in range(0, len(weights), _CHUNK))
    return np.concatenate([weighted_auc(scores, positive, part[:, code]) for part in parts])
