"""T6: does the acquisition style of a class's patients carry the class? Tone, shading and sharpness, read outside the lungs."""

from __future__ import annotations

from torch import Tensor

from nas.edits import swap_style
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.margins import Margin
from nas.inquisitor.tests.base import SwapTest, register_audit_test


@register_audit_test
class StyleSwap(SwapTest):
    """The picture stays, its style changes to the donor's; whole-image statistics would move disease along."""

    name = "T6"
    title = "acquisition-style swap"
    statistic = "signed style effect"
    cost = "recipients × donors"

    def margin(self, case: Case) -> Margin:
        return case.margins.style

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        shown = case.exhibits
        generator = case.generator(self.name, "noise", int(recipients[0]), int(donors[0]))
        return swap_style(
            to_float(shown.images[recipients]), shown.masks[recipients], to_float(case.donor_images[donors]),
            case.donor_masks[donors], generator,
        )  # fmt: skip
