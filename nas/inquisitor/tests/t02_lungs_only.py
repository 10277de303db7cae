"""T2: are the lungs enough? Lungs on backgrounds of all classes, answers averaged, against the clean images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from nas.inquisitor.context import Case
from nas.inquisitor.effects import Effect
from nas.inquisitor.judge import result, rounded, unavailable
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.inquisitor.tests.t03_background import BackgroundSwap
from nas.records import TestResult
from nas.statistics import auc, compare_auc


@register_audit_test
class LungsOnly(AuditTest):
    """AUC lost when the background says nothing; reuses the passes of T3."""

    name = "T2"
    title = "lungs on other backgrounds"
    statistic = "AUC lost"
    null = "paired difference of AUCs on the same images, cluster-robust"
    cost = "none beyond T3's"
    needed = True

    def run(self, case: Case) -> Sequence[TestResult]:
        return [self._least([self._judged(case, index, how) for how in case.settings.fills]) for index in case.auditable]

    def _least(self, results: Sequence[TestResult]) -> TestResult:
        """The fill with the smallest loss: what the edit itself damages only adds to it, so each fill bounds the truth."""
        best = min(results, key=lambda item: item.effect if item.effect is not None else float("inf"))
        fills = {item.fill: {"effect": item.effect, "verdict": item.verdict} for item in results}
        return best.model_copy(update={"details": {**best.details, "fills": fills}})

    def _judged(self, case: Case, index: int, how: str) -> TestResult:
        design = case.design
        responses = BackgroundSwap().responses(case, how)[:, :, index].mean(axis=1)
        positions, number = np.unique(design.recipient, return_inverse=True)
        edited = np.bincount(number, weights=responses) / np.bincount(number)
        truth, groups = case.exhibits.labels[positions] == index, case.exhibits.groups[positions]
        margin, name = case.margins.lungs_only, case.classes[index]
        if truth.all() or not truth.any():
            return unavailable(
                test=self.name, title=self.title, class_name=name, statistic=self.statistic, margin=margin,
                reason="the recipients are all of one side",
            )  # fmt: skip
        clean = case.z[positions, index]
        found, count = compare_auc(clean, edited, truth, groups), len(np.unique(groups))
        width = found.interval.high - found.interval.low
        error = float(width / 2 / stats.t.ppf(0.975, count - 1))
        return result(
            test=self.name, title=self.title, class_name=name, statistic=self.statistic,
            effect=Effect(found.difference, error, count - 1, found.p_value), margin=margin, n=len(positions), groups=count,
            fill=how, details={"auc_clean": rounded(auc(clean, truth)), "auc_lungs": rounded(auc(edited, truth))},
        )  # fmt: skip
