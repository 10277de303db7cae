"""T1: can the model still tell the classes apart when the box around the lungs is filled?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from nas.edits import bounding_box, elsewhere, get_fill
from nas.inquisitor.context import Case
from nas.inquisitor.effects import Effect
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import agree, result, rounded
from nas.inquisitor.regions import chest_region
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.records import TestResult
from nas.statistics import auc, auc_interval
from nas.statistics.groups import codes
from nas.statistics.ranking import auc_estimate


@register_audit_test
class LungsRemoved(AuditTest):
    """AUC without lungs: the whole box around the lung region is filled, so that its outline tells nothing of the lungs."""

    name = "T1"
    title = "lungs removed"
    statistic = "AUC without lungs"
    null = "labels permuted between groups"
    cost = "one pass an image and fill; one more for the control at the full level"
    levels = ("screen", "full")
    can_fail = True
    needed = True

    def run(self, case: Case) -> Sequence[TestResult]:
        return [agree([self._judged(case, index, how) for how in case.settings.fills]) for index in case.auditable]

    def _scores(self, case: Case, how: str, control: bool) -> NDArray[np.float64]:
        """Log-odds with the lungs' box (or, as a control, an equal box elsewhere) filled, float64 (n, classes)."""
        return case.once((self.name, how, control), lambda: self._log_odds(case, how, control))

    def _log_odds(self, case: Case, how: str, control: bool) -> NDArray[np.float64]:
        shown = case.exhibits

        def edit(numbers: Tensor) -> Tensor:
            generator = case.generator(self.name, how, control, int(numbers[0]))
            chest, images = chest_region(shown.masks[numbers]), to_float(shown.images[numbers])
            region = elsewhere(chest, generator, margin=0.0, box=True) if control else bounding_box(chest)
            return get_fill(how)(images, region, generator)

        return case.engine.log_odds(edit, len(shown), shown.image_size, shown.rows)

    def _judged(self, case: Case, index: int, how: str) -> TestResult:
        truth, groups = case.exhibits.labels == index, case.exhibits.groups
        scores = self._scores(case, how, control=False)[:, index]
        estimate = auc_estimate(scores, truth, groups)
        rng = case.rng(self.name, index, how)
        p_value = permutation_p(scores, truth, groups, rng, case.settings.permutations)
        clean = auc(case.z[:, index], truth)
        details: dict[str, object] = {"auc_clean": rounded(clean)}
        if clean > 0.5:
            details["retained"] = rounded((estimate.area - 0.5) / (clean - 0.5))
        if case.level == "full" and how == case.settings.fills[0]:
            details["auc_control"] = rounded(auc(self._scores(case, how, control=True)[:, index], truth))
        return result(
            test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic,
            effect=Effect(estimate.area, estimate.standard_error, estimate.freedom, p_value),
            interval=auc_interval(scores, truth, groups), margin=case.margins.lungs_removed,
            n=len(truth), groups=len(np.unique(groups)), fill=how, details=details,
        )  # fmt: skip


def permutation_p(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], groups: NDArray[np.str_], rng: np.random.Generator, draws: int
) -> float:
    """Two-sided p-value of an AUC against 0.5, labels exchanged between whole groups: by rank sums of scores (n,).

    The images of each side of a group that holds both are exchanged as a group of their own; the observed labelling is counted
    among the draws.
    """
    sides, code = np.unique(2 * codes(groups, len(scores))[0] + truth, return_inverse=True)
    own, count = sides % 2 == 1, len(sides)
    sizes, ranks = np.bincount(code, minlength=count), np.bincount(code, weights=rankdata(scores), minlength=count)
    drawn = np.concatenate([own[None], rng.permuted(np.tile(own, (draws, 1)), axis=1)]).astype(np.float64)
    distance = np.abs((drawn @ ranks) / (drawn @ sizes) - (len(scores) + 1) / 2)
    return float((distance >= distance[0] - 1e-9).mean())
