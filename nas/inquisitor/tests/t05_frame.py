"""T5: do frame, collimation and letterbox of a class's patients carry the class?"""

from __future__ import annotations

import torch
from torch import Tensor

from nas.edits import content_box
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.margins import Margin
from nas.inquisitor.regions import border_region
from nas.inquisitor.tests.base import SwapTest, register_audit_test


@register_audit_test
class FrameSwap(SwapTest):
    """The outer pixels, and the bars around the donor's picture, from donors of the class and of the others."""

    name = "T5"
    title = "frame and collimation swap"
    statistic = "signed frame effect"
    cost = "recipients × donors"

    def margin(self, case: Case) -> Margin:
        return case.margins.frame

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        border = case.once((self.name, "border"), lambda: self._borders(case))
        where = border[donors] & ~case.regions[recipients]
        return to_float(torch.where(where, case.backgrounds(fill)[donors], case.exhibits.images[recipients]))

    def _borders(self, case: Case) -> Tensor:
        size = case.engine.batch_size(case.donor_images.shape[-1])
        parts = (to_float(case.donor_images[k : k + size]) for k in range(0, len(case.donor_images), size))
        return torch.cat([border_region(images, content_box(images)) for images in parts])
