"""T0: do the *data* offer a shortcut? Small probes on what surrounds the lungs. Says nothing about the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nas.edits import bounding_box, frame_region
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import rounded
from nas.inquisitor.probing import probe_folds, probe_scores
from nas.inquisitor.regions import chest_region
from nas.inquisitor.tests.base import AuditTest, register_audit_test
from nas.records import TestResult
from nas.statistics import auc_interval
from nas.statistics.ranking import auc

_MOST = 2000  # images probed; logistic regressions gain little beyond
Floats = NDArray[np.float64]


@register_audit_test
class Availability(AuditTest):
    """How well the class can be told from pictures without lungs, the frame, a thumbnail, tones, or where it comes from."""

    name = "T0"
    title = "availability of shortcuts in the data"
    statistic = "best AUC of a probe that sees no lungs"
    null = "out-of-fold, folds by group; interval by groups"
    cost = "no forward pass; five logistic regressions a class"

    def run(self, case: Case) -> Sequence[TestResult]:
        features = case.once(self.name, lambda: self._features(case))
        return [self._judged(case, index, features) for index in case.auditable]

    def _features(self, case: Case) -> dict[str, Floats]:
        shown = case.exhibits.take(np.arange(len(case.exhibits))[:: -(-len(case.exhibits) // _MOST)])
        rows: dict[str, list[torch.Tensor]] = {"lungs hidden": [], "frame": [], "thumbnail": [], "tones": []}
        size = case.engine.batch_size(shown.image_size)
        for start in range(0, len(shown), size):
            images, masks = to_float(shown.images[start : start + size]), shown.masks[start : start + size]
            hidden = without_lungs(images, masks)
            edge = torch.where(frame_region(images, 0.08), images, torch.zeros_like(images))
            for name, picture in (("lungs hidden", hidden), ("frame", edge), ("thumbnail", images)):
                rows[name].append(torch.nn.functional.adaptive_avg_pool2d(picture, 8).flatten(1))
            outside = ~chest_region(masks)
            bins = [
                ((images >= low / 16) & (images < (low + 1) / 16) & outside).flatten(1).float().mean(1) for low in range(16)
            ]
            rows["tones"].append(torch.stack(bins, dim=1))
        found = {name: torch.cat(parts).double().cpu().numpy() for name, parts in rows.items()}
        origin = _one_hot(shown.sources)
        return {**found, **({"source": origin} if origin.shape[1] > 1 else {})}

    def _judged(self, case: Case, index: int, features: dict[str, Floats]) -> TestResult:
        step = -(-len(case.exhibits) // _MOST)
        truth, groups = case.exhibits.labels[::step] == index, case.exhibits.groups[::step]
        folds = probe_folds(truth, groups)
        scores = {name: probe_scores(table, truth, folds, penalty=10.0) for name, table in features.items()}
        areas = {name: auc(values, truth) for name, values in scores.items()}
        best = max((name for name in areas if name != "thumbnail"), key=areas.__getitem__)
        found = auc_interval(scores[best], truth, groups)
        offered = found.low > case.margins.availability
        reason = f"the class can be read from {best} alone: the swaps must be fully powered" if offered else ""
        return TestResult(
            test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic, unit="AUC",
            effect=rounded(areas[best]), interval=found.model_copy(update={"low": rounded(found.low), "high": rounded(found.high)}),
            pass_margin=case.margins.availability, fail_margin=None, verdict="undecided" if offered else "pass", reason=reason,
            n=len(truth), groups=len(np.unique(groups)), details={name: rounded(value) for name, value in areas.items()},
        )  # fmt: skip


def without_lungs(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Images (n, 1, H, W) whose box around the lungs, masks (n, H, W), holds the mean of what is left to see, and nothing of the lungs."""
    box = bounding_box(chest_region(masks))
    shown = (images * ~box).sum((2, 3), keepdim=True) / (~box).sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(box, shown, images)


def _one_hot(names: NDArray[np.str_]) -> Floats:
    values, code = np.unique(names, return_inverse=True)
    return np.eye(len(values))[code]
