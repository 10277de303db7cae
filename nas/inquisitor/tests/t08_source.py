"""T8: how much of the accuracy is left when only images of one source are compared with one another?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.inquisitor.context import Case
from nas.inquisitor.judge import result, rounded, unavailable
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.inquisitor.weighted import bootstrap_rows, bootstrapped
from nas.records import TestResult
from nas.statistics.ranking import weighted_auc

_DRAWS = 300
_LEAST = 5  # groups of each side that a source needs


@register_audit_test
class WithinSource(AuditTest):
    """Pooled AUC minus AUC within sources: a model that reads the source gains only between sources."""

    name = "T8"
    title = "accuracy within sources"
    statistic = "AUC lost within sources"
    null = "bootstrap over groups"
    cost = "no forward pass beyond the clean ones"
    can_fail = True

    def run(self, case: Case) -> Sequence[TestResult]:
        return [self._judged(case, index) for index in case.auditable]

    def _judged(self, case: Case, index: int) -> TestResult:
        shown, truth = case.exhibits, case.exhibits.labels == index
        usable = [name for name in np.unique(shown.sources) if _both(shown.groups, truth, shown.sources == name)]
        name, margin = case.classes[index], case.margins.source
        if not usable:
            item = unavailable(
                test=self.name, title=self.title, class_name=name, statistic=self.statistic, margin=margin,
                reason="undecided by design: no source has images of the class and of the rest",
            )  # fmt: skip
            return item.model_copy(update={"details": {"by_design": True}})
        rows = bootstrap_rows(shown.groups, case.rng(self.name, index), _DRAWS)
        inside = np.isin(shown.sources, usable)
        pooled = weighted_auc(case.z[inside, index], truth[inside], rows[:, inside])
        within, areas = self._within(case, index, truth, rows, usable)
        groups = len(np.unique(shown.groups[inside]))
        return result(
            test=self.name, title=self.title, class_name=name, statistic=self.statistic,
            effect=bootstrapped(pooled - within, groups), margin=margin, n=int(inside.sum()), groups=groups,
            details={"sources": areas, "auc_pooled": rounded(float(pooled[0])), "auc_within": rounded(float(within[0]))},
        )  # fmt: skip

    def _within(
        self, case: Case, index: int, truth: NDArray[np.bool_], rows: NDArray[np.float64], usable: list[str]
    ) -> tuple[NDArray[np.float64], dict[str, float | None]]:
        """AUCs within sources averaged by their pairs of images, for every row of weights; and each source's own."""
        total, share = np.zeros(len(rows)), 0.0
        areas: dict[str, float | None] = {}
        for name in usable:
            here = case.exhibits.sources == name
            area = weighted_auc(case.z[here, index], truth[here], rows[:, here])
            pairs = float(truth[here].sum()) * float((~truth[here]).sum())
            areas[str(name)] = rounded(float(area[0]))
            total, share = total + pairs * area, share + pairs
        return total / share, areas


def _both(groups: NDArray[np.str_], truth: NDArray[np.bool_], here: NDArray[np.bool_]) -> bool:
    return min(len(np.unique(groups[here & truth])), len(np.unique(groups[here & ~truth]))) >= _LEAST
