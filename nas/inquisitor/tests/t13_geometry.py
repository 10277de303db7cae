"""T13: does the shape of the lungs carry the class? The recipient's own lungs, reshaped to a donor's; and pure silhouettes."""

from __future__ import annotations

from torch import Tensor

from nas.edits import reshape_lungs, silhouettes
from nas.inquisitor.context import Case
from nas.inquisitor.effects import Effect
from nas.inquisitor.engine import margins, to_float
from nas.inquisitor.judge import judge, rounded
from nas.inquisitor.margins import Margin
from nas.inquisitor.tests.base import SwapTest, register_audit_test
from nas.statistics import auc_interval
from nas.statistics.ranking import auc_estimate


@register_audit_test
class GeometrySwap(SwapTest):
    """Lung size and position: the cue that no region test sees, since it lies inside every region."""

    name = "T13"
    title = "lung geometry"
    statistic = "signed geometry effect"
    cost = "recipients × donors; one pass an image for silhouettes"

    def margin(self, case: Case) -> Margin:
        return case.margins.geometry

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        generator = case.once((self.name, "noise"), lambda: case.generator(self.name, "noise"))
        images, masks = to_float(case.exhibits.images[recipients]), case.exhibits.masks[recipients]
        return reshape_lungs(images, masks, case.donor_masks[donors], generator, fill=fill)

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        return {**super().details(case, index, fill), "silhouette": self._silhouette(case, index)}

    def _silhouette(self, case: Case, index: int) -> dict[str, object]:
        """AUC of the model on pictures of the masks alone, by equivalence around 0.5, and its size in σ.

        Information: an AUC knows no size, so a model that hardly moves on silhouettes may still order them.
        """
        shown = case.exhibits
        scores = case.once(
            (self.name, "silhouettes"),
            lambda: margins(
                case.engine.logits(
                    lambda numbers: silhouettes(shown.masks[numbers], to_float(shown.images[numbers])),
                    len(shown),
                    shown.image_size,
                )
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
