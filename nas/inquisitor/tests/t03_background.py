"""T3, the core: lungs of one patient on the background of another, from donors of the class and from the others."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.margins import Margin
from nas.inquisitor.tests.base import SwapTest, register_audit_test
from nas.statistics import auc


@register_audit_test
class BackgroundSwap(SwapTest):
    """Class evidence in everything outside the lung region."""

    name = "T3"
    title = "background donor swap"
    statistic = "signed background effect"
    cost = "recipients × donors, twice at the full level (two fills)"
    levels = ("screen", "full")
    fills_matter = True

    def margin(self, case: Case) -> Margin:
        return case.margins.background

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        lungs = case.regions[recipients]
        return to_float(torch.where(lungs, case.exhibits.images[recipients], case.backgrounds(fill)[donors]))

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        return {**super().details(case, index, fill), **self._conflicts(case, index, fill)}

    def _conflicts(self, case: Case, index: int, fill: str) -> dict[str, object]:
        """AUC where lungs and background speak for different sides, and where they agree."""
        responses = self.responses(case, fill)[:, :, index]
        own = case.exhibits.labels[case.design.recipient] == index
        if own.all() or not own.any():
            return {}
        with_own = responses[:, index]
        with_others = responses[:, (index + 1) % responses.shape[1]]
        conflict = auc([*with_others[own], *with_own[~own]], [*own[own], *own[~own]])
        agreeing = auc([*with_own[own], *with_others[~own]], [*own[own], *own[~own]])
        return {"auc_conflict": round(conflict, 6), "auc_agreeing": round(agreeing, 6)}
