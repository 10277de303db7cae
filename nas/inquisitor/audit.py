"""The audit: gates, tests, verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.data.dataset import Dataset, Indices
from nas.inquisitor import gates
from nas.inquisitor.answers import answers_to
from nas.inquisitor.blind_spots import BLIND_SPOTS
from nas.inquisitor.context import FULL, SCREEN, Case, Level, Settings
from nas.inquisitor.evidence import Evidence, attribute, block_importances, draw
from nas.inquisitor.judge import Ruling, rounded, rule, sentence, test_number
from nas.inquisitor.margins import Margins
from nas.inquisitor.opening import hashes, in_data_order, open_case, versions
from nas.inquisitor.tests.base import AUDIT_TESTS, AuditTest
from nas.records import Finding, Gate, TestResult
from search_spaces.errors import InputError

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the audit that is behind (0 … 1)."""

_SCREEN_GROUPS = 15  # a screen may steer on fewer groups in a class: it never passes a model
_LOCAL = frozenset({"T1", "T3", "T4", "T5"})  # tests whose effect sits somewhere outside the lungs
_ON_SEAMS = frozenset({"T2", "T3"})  # tests that show the filled part of donors


def audit_model(
    model: nn.Module,
    dataset: Dataset,
    indices: Indices | None = None,
    *,
    classes: Sequence[str] | None = None,
    level: Level = "full",
    seed: int = 0,
    device: str | torch.device = "cpu",
    margins: Margins | None = None,
    settings: Settings | None = None,
    tests: Sequence[str] | None = None,
    progress: Progress | None = None,
    pictures_dir: Path | None = None,
    attribution: bool | None = None,
) -> Finding:
    """Question a model on images that it never trained on.

    Args:
        model: float (n, 1, H, W) in [0, 1] → logits (n, classes); only called.
        dataset, indices: the images under audit (all of the data set by default).
        classes: class names in logit order; they must be the data's, in any order.
        level: "screen" (clean, T1, T3 on 100 images: steers a search) or "full" (every test; may pass a model).
        seed: of all random streams; the same seed gives the same finding on the same CPU.
        margins, settings: what counts as harmless; how much work is done. Both have pre-registered defaults.
        tests: names of the tests to run; by default all of the level.
        pictures_dir: where pictures go; none are made without it.
        attribution: whether maps are made, and blocks probed; by default at the full level where pictures are asked for.

    Raises:
        InputError: the classes differ from the data's, the model's logits do not fit them, are not finite, or not the same
            twice; a test of one's own that leaves out what the verdict needs.
    """
    margins = margins or Margins()
    rows = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
    usable, excluded = gates.usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    masked = rows[usable]
    auditable, standing, obstacle = _before(dataset, rows, usable, level, margins)
    frame = Finding(
        verdict="undecided", binding_reason="", gates=tuple(standing), level=level, seed=seed, n=len(rows),
        groups=len(np.unique(dataset.group[rows])), excluded=excluded, blind_spots=BLIND_SPOTS, versions=versions(),
        hashes=hashes(model, dataset, rows),
    )  # fmt: skip
    if obstacle:
        return frame.model_copy(update={"binding_reason": obstacle})
    case = open_case(
        in_data_order(model, classes, dataset), dataset, masked, auditable=auditable, margins=margins,
        settings=settings or (SCREEN if level == "screen" else FULL), level=level, seed=seed, device=device,
    )  # fmt: skip
    if reason := gates.no_donors(case):
        return frame.model_copy(update={"binding_reason": f"not auditable: {reason}"})
    cropped = dataset.preprocessing is not None and dataset.preprocessing.lungs
    finding = _question(case, frame, tests, progress, cropped)
    maps = attribution if attribution is not None else level == "full" and pictures_dir is not None
    return _with_evidence(case, finding, maps, pictures_dir, progress) if case.auditable else finding


def obstacle_to(dataset: Dataset, rows: Indices, level: Level) -> str:
    """Why no model could be audited on these rows of a data set, whatever it answers; "" where one can be."""
    usable, _ = gates.usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    return _before(dataset, rows, usable, level, Margins())[2]


def _before(
    dataset: Dataset, rows: Indices, usable: NDArray[np.bool_], level: Level, margins: Margins
) -> tuple[tuple[int, ...], list[Gate], str]:
    """What holds before a model is called: auditable classes, the gates, and the one that ends the audit there, or ""."""
    least = margins.groups_per_class if level == "full" else min(margins.groups_per_class, _SCREEN_GROUPS)
    masked = rows[usable]
    counts = gates.groups_of(dataset.labels[masked], dataset.group[masked], len(dataset.classes))
    auditable = gates.auditable_classes(counts, least)
    standing = [gates.masks_gate(usable, margins), gates.enough_groups(counts, dataset.classes, least)]
    return auditable, standing, "" if auditable and standing[0].passed else _obstacles(standing)[0]


def _with_evidence(case: Case, finding: Finding, maps: bool, directory: Path | None, progress: Progress | None) -> Finding:
    """Maps, blocks and pictures: they cannot change the verdict, which stands."""
    if progress and maps:
        progress("attribution", 0.9)
    shown, blocks = (attribute(case), block_importances(case)) if maps else (Evidence(()), {})
    pictures = draw(case, shown, directory) if directory else ()
    return finding.model_copy(update={"attributions": shown.entries, "block_importances": blocks, "pictures": pictures})


def _question(case: Case, frame: Finding, names: Sequence[str] | None, progress: Progress | None, cropped: bool) -> Finding:
    """Competence, tests, verdict; the frame holds what was known before the model was called. ``cropped``: images show the lungs only."""
    shown = case.exhibits
    able = gates.competence(case.z, shown.labels, shown.groups, case.classes, case.auditable, case.margins)
    competent = tuple(index for index, gate in zip(case.auditable, able, strict=True) if gate.passed)
    case.auditable = competent[-1:] if len(case.classes) == 2 else competent  # of two classes, one is the other's mirror
    chosen = [AUDIT_TESTS.get(name)() for name in names] if names else _of_level(case.level)
    results: list[TestResult] = []
    for number, test in enumerate(chosen if case.auditable else []):
        if progress:
            progress(f"{test.name} {test.title}", number / len(chosen))
        results.extend(_answered(test, case))
    realism = [gates.seams(case)] if results and _ON_SEAMS & {item.test for item in results} else []
    if realism and not realism[0].passed:
        results = [_voided(item) if item.test in _ON_SEAMS else item for item in results]
    results = _with_needs(case, _with_regions(results))
    standing = [*frame.gates, *able, *realism, *([gates.precision(tuple(results))] if results else [])]
    ruling = rule(
        results,
        failing=frozenset(test.name for test in chosen if test.can_fail),
        passing=frozenset(name for name, test in AUDIT_TESTS.items() if test.needed),
        obstacles=[
            *_obstacles([gate for gate in standing if gate.name not in ("precision", "groups")]),
            *(sentence(item) for item in results if item.details.get("by_design")),
        ],
        not_auditable=[name for index, name in enumerate(case.classes) if index not in competent],
        alpha=case.margins.alpha,
    )
    return frame.model_copy(
        update={
            "verdict": ruling.verdict, "binding_reason": ruling.binding_reason, "gates": tuple(standing),
            "tests": _with_adjusted(results, ruling), "answers": answers_to(ruling.failed, cropped=cropped),
        }
    )  # fmt: skip


def _answered(test: AuditTest, case: Case) -> Sequence[TestResult]:
    """The test's results, of which those that can fail a model bring what the correction for their number needs."""
    found = test.run(case)
    if test.can_fail and any(item.effect is not None and "p_fail" not in item.details for item in found):
        raise InputError(
            f"audit test {test.name} can fail a model, but has results without details['p_fail'], the one-sided p-value beyond "
            "the fail margin; make them by nas.inquisitor.judge.result"
        )
    return found


def _of_level(level: Level) -> list[AuditTest]:
    found = [test() for _, test in AUDIT_TESTS.items() if level in test.levels]
    return sorted(found, key=lambda test: test_number(test.name))


def _obstacles(standing: Sequence[Gate]) -> list[str]:
    """Gates that do not hold, in words."""
    return [f"gate {gate.name}: {gate.note or gate.rule}" for gate in standing if not gate.passed]


def _with_regions(results: Sequence[TestResult]) -> list[TestResult]:
    """Where the regional map puts an outside effect, told with every test that such an effect may fail."""
    places = {item.class_name: item.details["region"] for item in results if item.test == "T7" and "region" in item.details}
    return [
        item.model_copy(update={"details": {**item.details, "region": places[item.class_name]}})
        if item.test in _LOCAL and item.verdict != "pass" and item.class_name in places
        else item
        for item in results
    ]


def _with_needs(case: Case, results: Sequence[TestResult]) -> list[TestResult]:
    """How many groups would settle a test, among all under audit; none where it would ask about no more images than it did."""
    whole = len(np.unique(case.exhibits.groups))
    spared = len(np.unique(case.design.recipient)) < len(case.exhibits)
    full = {"T7"} | ({"T2"} if spared else set())  # these answer for their recipients alone, whose number is bounded
    return [
        item
        if item.groups_needed is None
        else item.model_copy(
            update={
                "groups_needed": None
                if case.level == "screen" or item.test in full
                else round(whole * item.groups_needed / item.groups)
            }
        )
        for item in results
    ]


def _voided(item: TestResult) -> TestResult:
    """A result that the edit-realism gate takes away: it may measure the edit."""
    reason = "void: the gate on edit realism does not hold"
    details = {**item.details, "p_fail": 1.0}
    return item.model_copy(update={"verdict": "undecided", "reason": reason, "groups_needed": None, "details": details})


def _with_adjusted(results: Sequence[TestResult], ruling: Ruling) -> tuple[TestResult, ...]:
    """Holm's adjusted p-values beside the raw ones."""
    found = []
    for item in results:
        adjusted = ruling.adjusted.get((item.test, item.class_name))
        more = {} if adjusted is None else {"p_fail_holm": rounded(adjusted)}
        found.append(item.model_copy(update={"details": {**item.details, **more}}))
    return tuple(found)
