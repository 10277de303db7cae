"""T13: does the shape of the lungs carry the class? A recipient's lung texture in the outline of a donor's lungs.

The outline stands in its donor's body: what makes lungs large is their relation to the chest around them, and pictures
stretched as a whole show nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas.edits import OUTLINE_MARGIN, get_fill, lung_region, silhouettes, swap_geometry
from nas.inquisitor.context import Case
from nas.inquisitor.design import SwapDesign
from nas.inquisitor.effects import Effect
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import judge, rounded
from nas.inquisitor.margins import Margin
from nas.inquisitor.tests.base import SwapTest, register_audit_test
from nas.statistics import auc_interval
from nas.statistics.ranking import auc_estimate


@register_audit_test
class GeometrySwap(SwapTest):
    """Lung size and shape: the cue that no region test sees, since it lies inside every region.

    The donor's body comes along, so what T3 finds shows here too; geometry is what fails here and not there. Its blocks are
    unmatched: the answers go by the very area that the others' blocks are matched on.
    """

    name = "T13"
    title = "lung geometry"
    statistic = "signed geometry effect"
    cost = "recipients × donors; one pass an image for silhouettes"

    def margin(self, case: Case) -> Margin:
        return case.margins.geometry

    def design(self, case: Case) -> SwapDesign:
        return case.unmatched

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        images, masks = to_float(case.exhibits.images[recipients]), case.exhibits.masks[recipients]
        bodies, outlines = case.once((self.name, "bodies"), lambda: self._bodies(case))
        return swap_geometry(images, masks, to_float(bodies[donors]), case.donor_masks[donors], outlines[donors])

    def _bodies(self, case: Case) -> tuple[Tensor, Tensor]:
        """Donors with nothing but their lungs filled, uint8 (d, 1, H, W), and where their lungs were, bool (d, 1, H, W)."""
        images, masks, generator = case.donor_images, case.donor_masks[:, None], case.generator(self.name, "bodies")
        size, paint = case.engine.batch_size(images.shape[-1]), get_fill("laplace")
        parts = []
        for k in range(0, len(images), size):
            painted = paint(to_float(images[k : k + size]), lung_region(masks[k : k + size]), generator)
            parts.append((painted.clamp(0, 1) * 255).round().to(torch.uint8))
        return torch.cat(parts), lung_region(masks, margin=OUTLINE_MARGIN)

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        return {**super().details(case, index, fill), "silhouette": self._silhouette(case, index)}

    def _silhouette(self, case: Case, index: int) -> dict[str, object]:
        """AUC of the model on pictures of the masks alone, by equivalence around 0.5, and its size in σ.

        Information: an AUC knows no size, so a model that hardly moves on silhouettes may still order them.
        """
        shown = case.exhibits
        scores = case.once(
            (self.name, "silhouettes"),
            lambda: case.engine.log_odds(
                lambda numbers: silhouettes(shown.masks[numbers], to_float(shown.images[numbers])),
                len(shown),
                shown.image_size,
                shown.rows,
            ),
        )[:, index]
        truth = shown.labels == index
        found = auc_estimate(scores, truth, shown.groups)
        bounds = auc_interval(scores, truth, shown.groups)
        said = judge(Effect(found.area, found.standard_error, found.freedom), case.margins.silhouette, bounds)
        size = float((scores[truth].mean() - scores[~truth].mean()) / case.sigma[index])
        return {
            "auc": rounded(found.area), "low": rounded(bounds.low), "high": rounded(bounds.high), "verdict": said.verdict,
            "effect": rounded(size),
        }  # fmt: skip
