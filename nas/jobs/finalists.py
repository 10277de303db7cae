"""The front's best: retrained at full fidelity with several seeds, audited, and held against the requirements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.engine.directory import candidate_at, is_sealed, seal
from nas.engine.objective import cost_record
from nas.engine.progress import Progress
from nas.engine.requirements import judge
from nas.files import read_json, write_json
from nas.records import CandidateRecord, Finding, Metric, TrialRecord
from search_spaces import Architecture, load_architecture

if TYPE_CHECKING:
    from torch import nn

    from nas.data.dataset import Dataset, Indices
    from nas.engine.context import Context

# Edits make images more varied, and more takes longer to learn: on a phantom with a planted marker twice the epochs raised an answered
# network's balanced accuracy from 0.60 to 0.74 (unanswered 0.78 to 0.86), on 456 real images 100 instead of 40 its AUC from 0.69 to 0.72
# (unanswered 0.68 to 0.68).
_LONGER = 2
_FINAL = 1_000_000  # first word of the finalists' seed path: apart from every trial's


def conclude_front(context: Context, front: Sequence[TrialRecord], progress: Progress) -> tuple[CandidateRecord, ...]:
    """Candidates from the ``finalists`` best of the front, best validated first. Each is written to disk and read on resume."""
    candidates = [_finalist(context, trial, progress) for trial in front[: context.settings.finalists]]
    return tuple(sorted(candidates, key=_log_loss))


def _log_loss(candidate: CandidateRecord) -> float:
    value = next(m.value for m in candidate.metrics if m.name == "log_loss" and m.part == "validation")
    return float("inf") if value is None else value


def _finalist(context: Context, trial: TrialRecord, progress: Progress) -> CandidateRecord:
    directory = context.directory.candidate(trial.key)
    summary = directory / "candidate.json"
    if is_sealed(directory):
        return candidate_at(CandidateRecord.model_validate(read_json(summary)), context.directory.path)
    record = _attempt(context, trial, directory, (), progress)
    if context.settings.answer_findings and record.finding is not None and record.finding.verdict == "fail":
        record = _answer(context, trial, record, directory, progress)
    write_json(summary, record.model_dump(mode="json"))
    seal(directory)
    return record


def _attempt(
    context: Context, trial: TrialRecord, directory: Path, answers: tuple[str, ...], progress: Progress
) -> CandidateRecord:
    """Train every seed, take the best validated one, and examine it."""
    seeds = tuple(range(context.settings.final_seeds))
    architecture = load_architecture(trial.architecture)
    how = f", with {', '.join(answers)}" if answers else ""
    epochs = _epochs(context, answers)
    for seed in seeds:
        progress.message(f"retraining {trial.key}{how}, seed {seed + 1} of {len(seeds)}, {epochs} epochs")
        _retrain(context, architecture, seed, answers, directory / f"seed{seed}")
    chosen = min(seeds, key=lambda seed: _validation_loss(directory / f"seed{seed}"))
    return _examine(context, architecture, trial, directory, chosen, seeds, progress)


def _answer(
    context: Context, trial: TrialRecord, failed: CandidateRecord, directory: Path, progress: Progress
) -> CandidateRecord:
    """Retrain a failing candidate by the options that its finding names; keep the result if that cured it.

    Where it then fails by something else, those that answer this are added, until it no longer fails or nothing new is named.
    Cured: it no longer fails, and still tells apart every class that it told apart before. A network that learnt nothing does
    not fail either. Whether the failure was the data's or the architecture's: the data's if the same architecture is cured by
    training it otherwise; else it stays open, since another answer might have helped.
    """
    from nas.inquisitor.gates import hardly_told

    answers: tuple[str, ...] = ()
    again = failed
    while again.finding is not None and again.finding.verdict == "fail" and (named := _trainable(again.finding, answers)):
        place = directory / f"answered{'' if not answers else len(answers)}"
        answers = (*answers, *named)
        again = _attempt(context, trial, place, answers, progress)
    if not answers:
        return failed.model_copy(update={"answered": {"answers": [], "note": "no training option answers this finding"}})
    assert failed.finding is not None
    assert again.finding is not None
    lost = hardly_told(again.finding) - hardly_told(failed.finding)
    cured = again.finding.verdict != "fail" and not lost
    if cured:
        outcome = "the failure was the data's: the same architecture, trained so, no longer fails"
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


def _trainable(finding: Finding, used: tuple[str, ...]) -> tuple[str, ...]:
    """The options that a finding names and that were not used yet; a crop changes new images, too: not a matter of training."""
    from nas.edits import get_answer

    return tuple(name for name in finding.answers if name not in used and not get_answer(name).at_prediction)


def _epochs(context: Context, answers: tuple[str, ...]) -> int:
    return context.settings.full_epochs * (_LONGER if answers else 1)


def _retrain(context: Context, architecture: Architecture, seed: int, answers: tuple[str, ...], directory: Path) -> None:
    """Train one seed at full fidelity; a sealed directory is kept, an interrupted one goes on from its checkpoint."""
    if is_sealed(directory):
        return
    import torch

    from nas.engine.context import derived_seed
    from nas.engine.objective import start
    from nas.evaluation import metrics, save_candidate, train
    from nas.evaluation.checkpoint import remove_checkpoint
    from nas.jobs.reference import make_reference, save_reference

    settings, data, held_out = context.settings, context.dataset, context.parts.validation
    stream = derived_seed(settings.seed, _FINAL, seed)
    model = start(context, architecture, stream, directory)
    recipe = settings.recipe.model_copy(update={"epochs": _epochs(context, answers), "answers": answers})
    threads = torch.get_num_threads()
    torch.set_num_threads(context.facts["threads"])  # as trials are trained
    try:
        training = train(
            model, context.device_data, context.parts.train, held_out, recipe,
            seed=stream, checkpoint=directory / "checkpoint.safetensors", image_size=settings.image_size,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    scores = metrics(training.validation_logits, data.labels[held_out], data.group[held_out], data.classes, part="validation")
    save_candidate(
        directory, model=model, architecture=architecture, preprocessing=data.preprocessing, classes=data.classes, metrics=scores,
        history=training.history, training_hashes=data.image_hashes[context.parts.train], finding=None,
        name=f"{architecture.key} seed {seed}",
        selection=data.selection,
    )  # fmt: skip
    save_reference(make_reference(model, data, context.parts, training.validation_logits), directory)
    write_json(directory / "validation.json", {"log_loss": next(m.value for m in scores if m.name == "log_loss")})
    remove_checkpoint(directory / "checkpoint.safetensors")
    seal(directory)


def _validation_loss(directory: Path) -> float:
    return float(read_json(directory / "validation.json")["log_loss"])


def _examine(
    context: Context,
    architecture: Architecture,
    trial: TrialRecord,
    directory: Path,
    chosen: int,
    seeds: tuple[int, ...],
    progress: Progress,
) -> CandidateRecord:
    from nas.evaluation import load_candidate, metrics, predict_logits

    data, parts = context.dataset, context.parts
    home = directory / f"seed{chosen}"
    model = load_candidate(home).model
    scores: list[Metric] = []
    for part, indices in (("validation", parts.validation), ("audit", parts.audit), ("test", parts.test)):
        logits = predict_logits(model, data.images[indices], context.device)
        scores += metrics(logits, data.labels[indices], data.group[indices], data.classes, part=part)
    scores += _seed_spread(directory, seeds)
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
        cost=cost_record(context, architecture),
        metrics=(*scores, *timed),
        seeds=seeds,
        finding=finding,
        unmet=tuple(unmet),
    )


def _seed_spread(directory: Path, seeds: tuple[int, ...]) -> list[Metric]:
    """Mean validation log-loss over the seeds, with the seeds' standard deviation in the note."""
    losses = np.array([_validation_loss(directory / f"seed{seed}") for seed in seeds])
    spread = f"standard deviation over {len(seeds)} seeds {losses.std(ddof=1):.4f}" if len(seeds) > 1 else "one seed: no spread"
    return [
        Metric(
            name="log_loss_over_seeds",
            value=float(losses.mean()),
            n=len(seeds),
            groups=len(seeds),
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
