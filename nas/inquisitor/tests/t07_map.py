"""T7: where outside the lungs does class evidence sit? Cell by cell, the same cell of a class's donor against another's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.inquisitor.context import Case
from nas.inquisitor.design import SwapDesign
from nas.inquisitor.effects import (
    Effect,
    block_table,
    contrasts,
    max_t_p_values,
    permute_within_blocks,
    two_way_error,
)  # fmt: skip
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import result, rounded
from nas.inquisitor.regions import cell_masks
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.records import TestResult

_VERTICAL = ("upper", "middle", "lower")
_HORIZONTAL = ("left", "centre", "right")


@register_audit_test
class RegionalMap(AuditTest):
    """Localises what T3 finds; only pixels outside both patients' lung regions change, so every effect is an outside one."""

    name = "T7"
    title = "regional donor map"
    statistic = "largest signed cell effect"
    null = "donor labels shuffled within blocks, largest studentised cell (max-T, family-wise)"
    cost = "recipients × classes × cells"

    def run(self, case: Case) -> Sequence[TestResult]:
        return [self._judged(case, index) for index in case.auditable]

    def _judged(self, case: Case, index: int) -> TestResult:
        design, responses = self._responses(case)
        sigma, codes = float(case.sigma[index]), case.exhibits.group_codes[design.recipient]
        cells, slot = len(responses), design.slot(index)
        tables = np.stack([block_table(cell[:, :, index], design.block, design.blocks) for cell in responses])
        observed, null = permute_within_blocks(tables, slot, case.rng(self.name, index), case.settings.permutations)
        p_values = max_t_p_values(observed, null)
        errors = [two_way_error(contrasts(cell[:, :, index], slot), codes, design.block) for cell in responses]
        worst = int(np.argmin(p_values - 1e-6 * np.abs(observed)))
        effect = Effect(float(observed[worst]), *errors[worst], float(p_values[worst])).scaled(sigma)
        details = {
            "cells_a_side": case.settings.map_cells,
            "effects": [rounded(float(value) / sigma) for value in observed],
            "p_values": [rounded(float(value)) for value in p_values],
            "forward_passes": cells * design.entries * design.slots,
            **({"region": place(worst, case.settings.map_cells)} if p_values[worst] <= case.margins.alpha else {}),
        }
        item = result(
            test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic, effect=effect,
            margin=case.margins.region, n=design.entries, groups=len(np.unique(codes)), details=details,
        )  # fmt: skip
        return self._family_wise(item, observed / sigma, p_values, case)

    def _family_wise(
        self, item: TestResult, effects: NDArray[np.float64], p_values: NDArray[np.float64], case: Case
    ) -> TestResult:
        """A significant cell beyond the margin fails; none significant passes where the map was precise enough."""
        significant = p_values <= case.margins.alpha
        if (significant & (np.abs(effects) > case.margins.region.failing)).any():
            return item.model_copy(update={"verdict": "fail", "reason": "", "groups_needed": None})
        precise = (item.minimum_detectable_effect or 0.0) <= case.margins.region.passing
        if not significant.any() and precise:
            return item.model_copy(update={"verdict": "pass", "reason": "", "groups_needed": None})
        reason = "a cell is significant, but small" if significant.any() else item.reason or "not precise enough"
        return item.model_copy(update={"verdict": "undecided", "reason": reason})

    def _responses(self, case: Case) -> tuple[SwapDesign, NDArray[np.float64]]:
        """The thinned design and log-odds, float64 (cells, entries, slots, classes)."""
        return case.once(self.name, lambda: self._respond(case))

    def _respond(self, case: Case) -> tuple[SwapDesign, NDArray[np.float64]]:
        design = case.design.first(case.settings.map_recipients)
        recipients, positions = design.pairs()
        to, of = case.tensor(recipients), case.numbers(positions)
        cells = cell_masks(case.exhibits.image_size, case.settings.map_cells, case.engine.device)
        pairs, background = len(to), case.backgrounds(case.settings.fills[0])

        def edit(numbers: Tensor) -> Tensor:
            row = numbers % pairs
            where = cells[numbers // pairs][:, None] & ~case.regions[to[row]]
            return to_float(torch.where(where, background[of[row]], case.exhibits.images[to[row]]))

        odds = case.engine.log_odds(
            edit, len(cells) * pairs, case.exhibits.image_size, np.tile(case.exhibits.rows[recipients], len(cells))
        )
        return design, odds.reshape(len(cells), design.entries, design.slots, -1)


def place(cell: int, cells: int) -> str:
    """A cell in words, as seen on the picture: "upper left"."""
    row, column = divmod(cell, cells)
    vertical, horizontal = _VERTICAL[row * 3 // cells], _HORIZONTAL[column * 3 // cells]
    return "middle" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"
