"""T4: do markers of a class's patients carry the class? Real patches from donors, pasted where they were."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.edits import detect_markers, get_fill, random_patch, remove_markers, transplant
from nas.inquisitor.context import Case
from nas.inquisitor.engine import Exhibits, to_float
from nas.inquisitor.judge import rounded
from nas.inquisitor.margins import Margin
from nas.inquisitor.regions import marker_candidates
from nas.inquisitor.tests.base import SwapTest, register_audit_test

_REMOVED = 300


@register_audit_test
class MarkerTransplant(SwapTest):
    """Class evidence in what stands out beside the chest: letters, tags, stickers, jewellery."""

    name = "T4"
    title = "marker transplant"
    statistic = "signed marker effect"
    cost = "recipients × donors; two passes each on up to 300 images for removal and its control"

    def margin(self, case: Case) -> Margin:
        return case.margins.marker

    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        images, number = case.once((self.name, "cleaned"), lambda: self._clean(case))
        where = self._candidates(case)[donors] & ~case.exhibits.masks[recipients][:, None]
        return transplant(to_float(images[number[recipients]]), to_float(case.donor_images[donors]), where)

    def _clean(self, case: Case) -> tuple[Tensor, Tensor]:
        """Recipients with their own marks painted over, uint8 (r, 1, H, W), and each position's row among them, int64 (n,).

        Else a transplant could only add to marks that are there already, and the effect would come out half as large.
        """
        rows = case.tensor(np.unique(case.design.recipient))
        shown, generator, paint = case.exhibits, case.generator(self.name, "clean"), get_fill("laplace")
        parts = []
        for some in rows.split(case.engine.batch_size(shown.image_size)):
            images = to_float(shown.images[some])
            painted = paint(images, marker_candidates(images, shown.masks[some]), generator)
            parts.append((painted.clamp(0, 1) * 255).round().to(torch.uint8))
        number = torch.zeros(len(shown), dtype=torch.int64, device=case.engine.device)
        number[rows] = torch.arange(len(rows), device=case.engine.device)
        return torch.cat(parts), number

    def _candidates(self, case: Case) -> Tensor:
        """Patches of the donors in use, bool (d, 1, H, W)."""
        return case.once((self.name, "candidates"), lambda: self._find(case))

    def _find(self, case: Case) -> Tensor:
        images, masks = case.donor_images, case.donor_masks
        size = case.engine.batch_size(images.shape[-1])
        starts = range(0, len(images), size)
        return torch.cat([marker_candidates(to_float(images[k : k + size]), masks[k : k + size]) for k in starts])

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        return {**super().details(case, index, fill), **self._removal(case, index)}

    def _removal(self, case: Case, index: int) -> dict[str, object]:
        """What painting found marks over does to class images, against an equal patch elsewhere: information."""
        found, removed, control = case.once((self.name, "removal"), lambda: self._remove(case))
        own = found & (self._sampled(case).labels == index)
        if not own.any():
            return {"marked": 0}
        effect = float((removed - control)[own, index].mean() / case.sigma[index])
        return {"marked": int(own.sum()), "removal": rounded(effect)}

    def _sampled(self, case: Case) -> Exhibits:
        """A part of the recipients: information needs no more."""
        recipients = np.unique(case.design.recipient)
        return case.exhibits.take(recipients[:: -(-len(recipients) // _REMOVED)])

    def _remove(self, case: Case) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Which images bear marks (n,), log-odds (n, classes) with them painted over, and with an equal patch painted over."""
        shown = self._sampled(case)
        size = case.engine.batch_size(shown.image_size)
        marks = torch.cat(
            [
                detect_markers(to_float(shown.images[k : k + size]), shown.masks[k : k + size])
                for k in range(0, len(shown), size)
            ]
        )

        def noise(what: str, numbers: Tensor) -> torch.Generator:
            return case.generator(self.name, what, int(numbers[0]))

        def without(numbers: Tensor) -> Tensor:
            return remove_markers(to_float(shown.images[numbers]), marks[numbers], noise("removal", numbers))

        def control(numbers: Tensor) -> Tensor:
            images, generator = to_float(shown.images[numbers]), noise("control", numbers)
            return remove_markers(images, random_patch(images, marks[numbers], shown.masks[numbers], generator), generator)

        removed = case.engine.log_odds(without, len(shown), shown.image_size, shown.rows)
        return (
            marks.flatten(1).any(1).cpu().numpy(), removed,
            case.engine.log_odds(control, len(shown), shown.image_size, shown.rows),
        )  # fmt: skip
