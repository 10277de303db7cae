"""T9: does the accuracy survive when every known nuisance is associated with the class the other way round?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.edits import detect_markers
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import leading, result, rounded, unavailable
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.inquisitor.weighted import bootstrap_rows, bootstrapped
from nas.records import TestResult
from nas.statistics.ranking import weighted_auc

_DRAWS = 300
_LEAST = 5  # images of each side that a value of a nuisance needs
_KNOWN = ("sex", "gender", "age", "patient_sex", "patient_age", "position", "projection")
Floats = NDArray[np.float64]


@register_audit_test
class Reversal(AuditTest):
    """Re-weights images so that source, view, age, sex or the presence of a marker predict the opposite class."""

    name = "T9"
    title = "shortcut reversal"
    statistic = "AUC lost"
    null = "bootstrap over groups; any nuisance counts, Bonferroni over nuisances"
    cost = "no forward pass beyond the clean ones"
    can_fail = True

    def run(self, case: Case) -> Sequence[TestResult]:
        nuisances = case.once(self.name, lambda: _nuisances(case))
        return [self._judged(case, index, nuisances) for index in case.auditable]

    def _judged(self, case: Case, index: int, nuisances: dict[str, NDArray[np.str_]]) -> TestResult:
        truth, scores = case.exhibits.labels == index, case.z[:, index]
        rows = bootstrap_rows(case.exhibits.groups, case.rng(self.name, index), _DRAWS)
        found: dict[str, TestResult] = {}
        for name, values in nuisances.items():
            weights = reversal_weights(values, truth)
            here = weights > 0
            if here.sum() < 2 * _LEAST:
                continue
            before = weighted_auc(scores[here], truth[here], rows[:, here])
            after = weighted_auc(scores[here], truth[here], rows[:, here] * weights[here])
            found[name] = result(
                test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic,
                effect=bootstrapped(before - after, len(np.unique(case.exhibits.groups[here]))), margin=case.margins.reversal,
                n=len(truth), groups=len(np.unique(case.exhibits.groups)),
                details={"nuisance": name, "auc_reversed": rounded(float(after[0]))},
            )  # fmt: skip
        if not found:
            return unavailable(
                test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic,
                margin=case.margins.reversal, reason="no known nuisance takes the same values in and outside the class",
            )  # fmt: skip
        item, lost = leading(list(found.values())), {name: one.effect for name, one in found.items()}
        p_fail = min(1.0, item.details["p_fail"] * len(found))
        return item.model_copy(update={"details": {**item.details, "lost": lost, "p_fail": p_fail}})


def reversal_weights(values: NDArray[np.str_], truth: NDArray[np.bool_]) -> Floats:
    """Weights (n,) under which each side has the other side's distribution of the nuisance; 0 where one side lacks a value."""
    weights = np.zeros(len(truth))
    levels = [
        v for v in np.unique(values) if v != "" and min((truth & (values == v)).sum(), (~truth & (values == v)).sum()) >= _LEAST
    ]
    if len(levels) < 2:
        return weights
    kept = np.isin(values, levels)
    for level in levels:
        here = values == level
        inside, outside = (here & truth).sum() / (kept & truth).sum(), (here & ~truth).sum() / (kept & ~truth).sum()
        weights[here & truth], weights[here & ~truth] = outside / inside, inside / outside
    return weights


def _nuisances(case: Case) -> dict[str, NDArray[np.str_]]:
    """What may stand for a class without being disease, one value an image: str (n,)."""
    shown = case.exhibits
    columns = {"source": shown.sources, "view": shown.dataset.view[shown.rows], "marker": _marked(case)}
    for name in _KNOWN:
        if name in shown.dataset.metadata:
            columns[name] = _coarse(shown.dataset.metadata[name][shown.rows])
    return {name: values for name, values in columns.items() if len(np.unique(values[values != ""])) > 1}


def _coarse(values: NDArray) -> NDArray[np.str_]:
    """Numbers as below or above their median, other values as they are; unreadable ones are \"\".

    Where nothing lies above the median, as with a sex of 0 and 1 that is mostly 1, the median itself is high.
    """
    try:
        numbers = np.array([float(value) if str(value) != "" else np.nan for value in values])
    except ValueError:
        return values.astype(np.str_)
    known = np.isfinite(numbers)
    middle = np.median(numbers[known]) if known.any() else 0.0
    high = numbers > middle if (numbers[known] > middle).any() else numbers >= middle
    return np.where(known, np.where(high, "high", "low"), "").astype(np.str_)


def _marked(case: Case) -> NDArray[np.str_]:
    shown, size = case.exhibits, case.engine.batch_size(case.exhibits.image_size)
    found = [
        detect_markers(to_float(shown.images[k : k + size]), shown.masks[k : k + size]).flatten(1).any(1).cpu().numpy()
        for k in range(0, len(shown), size)
    ]
    return np.where(np.concatenate(found), "marker", "none").astype(np.str_)
