"""The front's best: retrained at full fidelity with several seeds, audited, and held against the requirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.engine.directory import candidate_at, is_sealed, seal
from nas.engine.front import pareto_front
from nas.engine.objective import cost_record
from nas.engine.progress import Progress
from nas.engine.requirements import Requirement, judge, violation
from nas.files import read_json, write_json
from nas.jobs.retraining import Retraining, retrain, surroundings
from nas.records import CROP, CandidateRecord, Finding, Metric, TrialRecord
from search_spaces import load_architecture

if TYPE_CHECKING:
    from torch import nn

    from nas.data.dataset import Dataset, Indices
    from nas.engine.context import Context


def choose(trials: Sequence[TrialRecord], requirements: Sequence[Requirement], count: int) -> list[TrialRecord]:
    """At most ``count`` completed trials to retrain: the front's best, or, where something is required, what reaches it.

    The front of all trials can hold none that meets the requirements, and that of those that meet them by their point estimates is what
    a winner comes from. Of several finalists one is the best validated, whatever it reaches.
    """
    front = pareto_front(trials)
    reaching = pareto_front([trial for trial in trials if all(violation(one, trial.metrics) <= 0 for one in requirements)])
    in_turn = (*front[: min(1, count - 1)], *reaching, *front)
    return list({trial.key: trial for trial in in_turn}.values())[:count]


def conclude_front(
    context: Context, chosen: Sequence[TrialRecord], progress: Progress, processes: int = 1
) -> tuple[CandidateRecord, ...]:
    """Candidates from the trials that were chosen, best validated first. Each is written to disk and read on resume.

    Args:
        processes: trainings at a time, each in a process of its own.
    """
    open_ones = [trial for trial in chosen if not is_sealed(context.directory.candidate(trial.key))]
    plain = [one for trial in open_ones for one in _seeds(context, trial, context.directory.candidate(trial.key), ())]
    retrain(context, plain, progress, processes)
    candidates = [_finalist(context, trial, progress, processes) for trial in chosen]
    validated = [{m.name: m.value for m in candidate.metrics if m.part == "validation"} for candidate in candidates]
    return tuple(candidates[index] for index in _ranked(context, validated))


def _ranked(context: Context, figures: Sequence[Mapping[str, float | None]]) -> list[int]:
    """Indices of networks by the search's objective, the best first, from their figures on validation."""
    from nas.evaluation import objective_value

    values = [objective_value(context.settings.objective, one) for one in figures]
    return sorted(range(len(values)), key=values.__getitem__)


def _finalist(context: Context, trial: TrialRecord, progress: Progress, processes: int) -> CandidateRecord:
    directory = context.directory.candidate(trial.key)
    summary = directory / "candidate.json"
    if is_sealed(directory):
        return candidate_at(CandidateRecord.model_validate(read_json(summary)), context.directory.path)
    record = _attempt(context, trial, directory, (), progress, processes)
    if context.settings.answer_findings and record.finding is not None and record.finding.verdict == "fail":
        record = _answer(context, trial, record, directory, progress, processes)
    write_json(summary, record.model_dump(mode="json"))
    seal(directory)
    return record


def _seeds(context: Context, trial: TrialRecord, directory: Path, answers: tuple[str, ...]) -> list[Retraining]:
    seeds = range(context.settings.final_seeds)
    return [Retraining(trial.key, trial.architecture, seed, answers, directory / f"seed{seed}") for seed in seeds]


def _attempt(
    context: Context, trial: TrialRecord, directory: Path, answers: tuple[str, ...], progress: Progress, processes: int
) -> CandidateRecord:
    """Train every seed, take the best validated one, and examine it."""
    trainings = _seeds(context, trial, directory, answers)
    retrain(context, trainings, progress, processes)
    return _examine(surroundings(context, answers), trial, directory, trainings, progress)


def _answer(
    context: Context, trial: TrialRecord, failed: CandidateRecord, directory: Path, progress: Progress, processes: int
) -> CandidateRecord:
    """Retrain a failing candidate by the options that its finding names; keep the result if that cured it.

    Where it then fails by something else, those that answer this are added, until it no longer fails or nothing new is named. A crop
    to the lungs, which new images need, too, comes when no training option is left.
    Cured: it no longer fails, and still tells apart every class that it told apart before. A network that learnt nothing does
    not fail either. Whether the failure was the data's or the architecture's: the data's if the same architecture is cured by
    training it otherwise; else it stays open, since another answer might have helped.
    """
    from nas.inquisitor.gates import hardly_told

    assert failed.finding is not None
    answers: tuple[str, ...] = ()
    again = failed
    while again.finding is not None and again.finding.verdict == "fail" and (named := to_try(again.finding.answers, answers)):
        place = directory / f"answered{'' if not answers else len(answers)}"
        answers = (*answers, *named)
        again = _attempt(context, trial, place, answers, progress, processes)
    if not answers:
        return failed.model_copy(update={"answered": {"answers": [], "note": "nothing is known that answers this finding"}})
    assert again.finding is not None
    lost = hardly_told(again.finding) - hardly_told(failed.finding)
    cured = again.finding.verdict != "fail" and not lost
    if cured:
        outcome = "the failure was the data's: the same architecture, trained so, no longer fails"
        if CROP in answers:
            outcome += "; it needs new images cut to the lungs, too, as its preprocessing does"
    elif again.finding.verdict == "fail":
        outcome = f"not cured: trained so, it fails by {again.finding.binding_reason}"
    else:
        outcome = f"not cured: trained so, it hardly tells {', '.join(sorted(lost))} from the rest"
    story = {
        "answers": list(answers),
        "cured": cured,
        "verdict_before": failed.finding.verdict,
        "verdict_after": again.finding.verdict,
        "reason_before": failed.finding.binding_reason,
        "failure": outcome,
        "metrics_before": [m.model_dump(mode="json") for m in failed.metrics if m.part == "audit"],
        "metrics_after": [m.model_dump(mode="json") for m in again.metrics if m.part == "audit"],
    }
    return (again if cured else failed).model_copy(update={"answered": story})


def to_try(named: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    """Of the answers that a finding names, the training options that were not used yet; without any, the crop, if it is named."""
    left = tuple(name for name in named if name not in used)
    return tuple(name for name in left if name != CROP) or left


def _examine(
    context: Context, trial: TrialRecord, directory: Path, trainings: Sequence[Retraining], progress: Progress
) -> CandidateRecord:
    from nas.evaluation import load_candidate, metrics, predict_logits

    data, parts = context.dataset, context.parts
    figures = [one.figures for one in trainings]
    home = trainings[_ranked(context, figures)[0]].directory
    model = load_candidate(home).model
    scores: list[Metric] = []
    for part, indices in (("validation", parts.validation), ("audit", parts.audit), ("test", parts.test)):
        logits = predict_logits(model, data.images[indices], context.device)
        scores += metrics(logits, data.labels[indices], data.group[indices], data.classes, part=part)
    chosen_by = context.settings.objective
    scores += _seed_spread(chosen_by, [one[chosen_by] for one in figures], data.group[parts.validation])
    timed = context.latency(model)
    finding = audit_finalist(context, model, directory, progress)
    audited = tuple(m for m in scores if m.part == "audit")
    unmet = [j.text for j in (judge(r, (*audited, *timed)) for r in context.requirements) if j.verdict != "pass"]
    if finding is not None and finding.verdict == "fail":
        unmet.insert(0, f"audit: fail ({finding.binding_reason})")
    return CandidateRecord(
        key=trial.key,
        name=f"candidate {trial.key}",
        path=str(home),
        architecture=trial.architecture,
        cost=cost_record(context.space, load_architecture(trial.architecture), context.settings.image_size),
        metrics=(*scores, *timed),
        seeds=tuple(one.seed for one in trainings),
        finding=finding,
        unmet=tuple(unmet),
    )


def _seed_spread(name: str, found: Sequence[float | None], groups: NDArray[np.str_]) -> list[Metric]:
    """Mean over the seeds of the figure that they are chosen by, on validation's images of these groups; its spread in the note."""
    values = [value for value in found if value is not None]
    if len(values) < len(found):  # the figures themselves say why
        return []
    several = len(values) > 1
    spread = f"standard deviation over {len(values)} seeds {np.std(values, ddof=1):.4f}" if several else "one seed: no spread"
    return [
        Metric(
            name=f"{name}_over_seeds",
            value=float(np.mean(values)),
            n=len(groups),
            groups=len(np.unique(groups)),
            part="validation",
            note=spread,
        )
    ]


def audit_finalist(context: Context, model: nn.Module, directory: Path, progress: Progress) -> Finding | None:
    """The full audit, on images that the model never trained on; None where there are no masks to audit with."""
    from nas.inquisitor import audit_model

    data, indices = audit_images(context)
    if not data.has_mask[indices].any():
        progress.message("no lung masks in the data: the candidates cannot be audited; see README, 'How the audit works'")
        return None
    progress.message(f"auditing on {len(indices):,} images")
    return audit_model(
        model,
        data,
        indices,
        level="full",
        seed=context.settings.seed,
        device=context.device,
        pictures_dir=directory / "pictures",
    )


def audit_images(context: Context) -> tuple[Dataset, Indices]:
    """The audit part and the validation part; for a phantom, fresh images by the same rules, as many as the settings say."""
    from nas.data import load

    settings = context.settings
    if settings.audit_images and len(settings.data) == 1 and settings.data[0].partition(":")[0] == "phantom":
        fresh = (
            f"{settings.data[0]}{',' if ':' in settings.data[0] else ':'}n={settings.audit_images},seed={settings.seed + 7919}"
        )
        data = load(fresh, classes=settings.classes, image_size=settings.image_size, crop=settings.crop)
        return data, np.arange(len(data))
    return context.dataset, np.sort(np.concatenate([context.parts.validation, context.parts.audit]))
