"""Conditions that must hold before a verdict may be anything but *undecided*."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.edits import bounds, dilate, inner_warp
from nas.inquisitor.context import Case
from nas.inquisitor.engine import to_float
from nas.inquisitor.judge import rounded, test_number
from nas.inquisitor.margins import Margins
from nas.inquisitor.probing import probe_folds, probe_scores
from nas.inquisitor.regions import chest_region
from nas.records import Finding, Gate, Interval, TestResult
from nas.statistics import auc_interval

Floats = NDArray[np.float64]
COMPETENCE = "competence"  # names of its gates: with the class in brackets


def groups_of(labels: NDArray[np.int64], groups: NDArray[np.str_], classes: int) -> list[int]:
    """By class, its groups or those outside it, whichever are fewer."""
    inside = [len(np.unique(groups[labels == index])) for index in range(classes)]
    outside = [len(np.unique(groups[labels != index])) for index in range(classes)]
    return [min(pair) for pair in zip(inside, outside, strict=True)]


def auditable_classes(counts: Sequence[int], least: int) -> tuple[int, ...]:
    """Classes with at least ``least`` groups of their own and as many outside."""
    return tuple(index for index, count in enumerate(counts) if count >= least)


def competence(
    z: Floats, labels: NDArray[np.int64], groups: NDArray[np.str_], names: tuple[str, ...],
    auditable: tuple[int, ...], bounds: Margins,
) -> tuple[Gate, ...]:  # fmt: skip
    """One gate a class: the lower bound of its clean one-vs-rest AUC, from log-odds (n, classes), must exceed the bound."""
    found = []
    for index in auditable:
        bound = auc_interval(z[:, index], labels == index, groups)
        able = bound.low > bounds.competence
        found.append(
            Gate(
                name=f"{COMPETENCE}[{names[index]}]",
                passed=able,
                value=rounded(bound.low),
                rule=f"lower 95 % bound of the clean AUC above {bounds.competence:g}",
                note="" if able else _incompetent(bound, names[index]),
            )
        )
    return tuple(found)


def _incompetent(bound: Interval, name: str) -> str:
    """Why a class's gate does not hold, and what helps: worse than chance is no lack of training."""
    if bound.high < 0.5:
        return (
            f"the AUC is at most {bound.high:.2f}, worse than chance: {name} is told from the rest the wrong way round; "
            "name the classes in the order of the model's logits"
        )
    return (
        f"the bound is {bound.low:.2f}: a model that hardly tells {name} from the rest cannot be cleared, train it better first"
    )


def hardly_told(finding: Finding) -> set[str]:
    """Classes that the network hardly tells from the rest."""
    failed = [gate.name for gate in finding.gates if gate.name.startswith(f"{COMPETENCE}[") and not gate.passed]
    return {name.removeprefix(f"{COMPETENCE}[").removesuffix("]") for name in failed}


def enough_groups(counts: Sequence[int], names: tuple[str, ...], least: int) -> Gate:
    """Every class needs so many groups; the others are not auditable."""
    able = auditable_classes(counts, least)
    missing = [name for index, name in enumerate(names) if index not in able]
    return Gate(
        name="groups", passed=not missing, value=float(min(counts)), rule=f"at least {least} groups in every class",
        note=f"not auditable: {', '.join(missing)}; audit on images of more patients (or a run by --cross-fit)" if missing else "",
    )  # fmt: skip


def usable_masks(masks: NDArray[np.bool_], has_mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which images have a mask that lungs could have, bool (n,), and how many were excluded by reason.

    A plausible mask covers 3–70 % of the image, and its area lies within three interquartile ranges of the data set's
    quartiles (a Tukey fence: the share it removes does not depend on n).
    """
    area = masks.reshape(len(masks), -1).mean(axis=1)
    present = has_mask & (area > 0)
    plausible = present & (area >= 0.03) & (area <= 0.7)
    if plausible.sum() >= 8:
        low, high = np.quantile(area[plausible], [0.25, 0.75])
        plausible &= (area >= low - 3 * (high - low)) & (area <= high + 3 * (high - low))
    excluded = {"no lung mask": int((~present).sum()), "implausible lung mask": int((present & ~plausible).sum())}
    return plausible, {reason: count for reason, count in excluded.items() if count}


def masks_gate(usable: NDArray[np.bool_], bounds: Margins) -> Gate:
    """Enough images must have a usable mask."""
    share = float(usable.mean()) if len(usable) else 0.0
    return Gate(
        name="masks", passed=share >= bounds.missing_masks, value=rounded(share),
        rule=f"a usable lung mask on at least {bounds.missing_masks:.0%} of the images",
        note="" if share >= bounds.missing_masks else "the images that have one may not stand for the rest",
    )  # fmt: skip


def no_donors(case: Case) -> str:
    """Why nothing can be swapped, or "": donors come in blocks of one image of every class."""
    if case.design.entries:
        return ""
    bare = [name for index, name in enumerate(case.classes) if not (case.donors.labels == index).any()]
    return f"{'class ' + ', '.join(bare) if bare else 'in every fold some class'} has no image with a usable mask"


def seams(case: Case) -> Gate:
    """Edit realism: seam features of the swaps must not tell the donor arms apart.

    A small classifier sees only what the edit adds (how much of the fill shows, the step at its edge): if it separates own
    from other donors, a model could do so as well, and the swap would measure the edit.
    """
    found = case.once("seams", lambda: _seam_bounds(case))
    worst = max(found, default=0.0)
    return Gate(
        name="edit realism", passed=worst <= case.margins.seam, value=rounded(worst),
        rule=f"lower 95 % bound of the AUC with which seams tell the arms apart at most {case.margins.seam:g}",
        note="" if worst <= case.margins.seam else "donors of a class leave other seams than those of the rest",
    )  # fmt: skip


def _seam_bounds(case: Case) -> list[float]:
    design = case.design.first(300)
    recipients, donors = design.pairs()
    slot = np.tile(np.arange(design.slots), design.entries)
    features = _seam_features(case, recipients, case.numbers(donors))
    bounds = []
    for index in case.auditable:
        truth, groups = slot == design.slot(index), case.donors.groups[donors]
        bounds.append(auc_interval(probe_scores(features, truth, probe_folds(truth, groups)), truth, groups).low)
    return bounds


def _seam_features(case: Case, recipients: NDArray[np.int64], donors: Tensor) -> Floats:
    rows, size = [], case.engine.batch_size(case.exhibits.image_size)
    background = case.backgrounds(case.settings.fills[0])
    for start in range(0, len(recipients), size):
        to, of = case.tensor(recipients[start : start + size]), donors[start : start + size]
        filled = chest_region(case.donor_masks[of])
        rows.append(_batch_features(to_float(background[of]), case.regions[to], filled))
    return torch.cat(rows).double().cpu().numpy()


def _batch_features(behind: Tensor, inside: Tensor, filled: Tensor) -> Tensor:
    """How much of the fill shows, and by how much its level differs from what surrounds it: float (b, 2).

    All are relative to the donor's own picture: a donor's style is evidence that T3 is meant to see, not an artefact.
    """
    warped = inner_warp(filled.float(), bounds(filled), bounds(inside), mode="nearest") > 0.5
    share = (warped & ~inside).flatten(1).float().mean(dim=1)
    around = dilate(filled, max(2, round(0.06 * behind.shape[-1]))) & ~filled
    level = _mean(behind, filled) - _mean(behind, around)
    return torch.stack([share, level], dim=1)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1).clamp(min=1)


def precision(results: tuple[TestResult, ...]) -> Gate:
    """The minimum detectable effect of every test that found none must be at most its pass margin; else that test cannot pass."""
    ratios = [
        (item.minimum_detectable_effect / item.pass_margin, item.test)
        for item in results
        if item.verdict != "fail" and item.minimum_detectable_effect is not None and item.pass_margin is not None
    ]
    names = sorted({test for ratio, test in ratios if ratio > 1}, key=test_number)
    return Gate(
        name="precision", passed=not names, value=rounded(max(ratios, default=(0.0, ""))[0]),
        rule="minimum detectable effect at most the pass margin, in every test that does not fail (value: the largest ratio)",
        note=f"too few images for {', '.join(names)}" if names else "",
    )  # fmt: skip
