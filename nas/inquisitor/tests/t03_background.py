"""T3, the core: lungs of one patient on the background of another, from donors of the class and from the others."""

from __future__ import annotations

from torch import Tensor

from nas.edits import bounds, feathered, inner_warp
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.margins import Margin
from nas.inquisitor.regions import chest_region
from nas.inquisitor.tests.base import SwapTest, register_audit_test
from nas.statistics import auc

_SEAM = 0.03  # width of the soft seam, in shares of the side


@register_audit_test
class BackgroundSwap(SwapTest):
    """Class evidence in everything outside the chest region.

    The donor's picture is first stretched so that its chest lies where the recipient's does, and little of the fill shows; its
    border stays in place, and with it whatever stands in a corner or along an edge.
    """

    name = "T3"
    title = "background donor swap"
    statistic = "signed background effect"
    cost = "recipients × donors, twice at the full level (two fills)"
    levels = ("screen", "full")
    fills_matter = True
    flips_count = False

    def margin(self, case: Case) -> Margin:
        return case.margins.background

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        images, chest = to_float(case.exhibits.images[recipients]), case.regions[recipients]
        own, other = case.once((self.name, "bounds"), lambda: (bounds(case.regions), bounds(chest_region(case.donor_masks))))
        behind = inner_warp(to_float(case.backgrounds(fill)[donors]), other[donors], own[recipients])
        weight = feathered(chest, max(1, round(_SEAM * images.shape[-1])))
        return behind + weight * (images - behind)

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        return {**super().details(case, index, fill), **self._conflicts(case, index, fill)}

    def _conflicts(self, case: Case, index: int, fill: str) -> dict[str, object]:
        """AUC where lungs and background speak for different sides, and where they agree."""
        responses = self.responses(case, fill)[:, :, index]
        own = case.exhibits.labels[case.design.recipient] == index
        if own.all() or not own.any():
            return {}
        slot = case.design.slot(index)
        with_own, with_others = responses[:, slot], responses[:, (slot + 1) % responses.shape[1]]
        conflict = auc([*with_others[own], *with_own[~own]], [*own[own], *own[~own]])
        agreeing = auc([*with_own[own], *with_others[~own]], [*own[own], *own[~own]])
        return {"auc_conflict": round(conflict, 6), "auc_agreeing": round(agreeing, 6)}
