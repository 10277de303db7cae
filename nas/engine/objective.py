"""One trial: build the architecture, train it, score it, let the inquisitor's screen look at it, write it down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.engine.context import Context, derived_seed
from nas.engine.directory import is_sealed, read_record, seal
from nas.engine.requirements import violation
from nas.files import write_json
from nas.records import CostRecord, EpochRecord, Finding, Metric, TrialRecord
from search_spaces import Architecture
from search_spaces.budget import BOUNDS

if TYPE_CHECKING:
    import torch

    from search_spaces.space import SearchSpace

OnEpoch = Callable[[EpochRecord], None]
_PRETRAINING = 1  # seed path of a network's pretraining, apart from its training
_SCREEN = {"pass": -1.0, "undecided": 0.0, "fail": 1.0}


class Pruned(Exception):
    """Raised by the ``on_epoch`` callback to end a trial early."""


def run_trial(
    context: Context,
    architecture: Architecture,
    *,
    number: int,
    index: int,
    on_epoch: OnEpoch,
    on_pretraining: OnEpoch | None = None,
) -> TrialRecord:
    """Train and score one network; the trial's directory is sealed before this returns a completed record.

    A sealed directory of the same network from an earlier attempt (its worker died between writing and telling) is read, not
    trained again. Exceptions of training, including ``Pruned``, pass through.
    """
    directory = context.directory.trial(architecture.key)
    if is_sealed(directory):
        record = read_record(TrialRecord, directory / "trial.json").model_copy(update={"number": number})
        for epoch in record.history:
            with contextlib.suppress(Pruned):  # it has been trained to the end
                on_epoch(epoch)
        return record
    return _train(context, architecture, number, index, on_epoch, on_pretraining)


def _train(
    context: Context, architecture: Architecture, number: int, index: int, on_epoch: OnEpoch, on_pretraining: OnEpoch | None
) -> TrialRecord:
    from nas.evaluation import metrics, objective, save_candidate, train
    from nas.evaluation.checkpoint import remove_checkpoint

    settings, data = context.settings, context.dataset
    seed = derived_seed(settings.seed, index)
    directory = context.directory.trial(architecture.key)
    model = start(context, architecture, seed, directory, on_pretraining)
    recipe = settings.recipe.model_copy(update={"epochs": settings.epochs})
    training = train(
        model, context.device_data, context.parts.train, context.parts.validation, recipe,
        seed=seed, on_epoch=on_epoch, checkpoint=directory / "checkpoint.safetensors", image_size=settings.image_size,
    )  # fmt: skip
    started = time.perf_counter()
    held_out = context.parts.validation
    logits, labels = training.validation_logits, data.labels[held_out]
    scores = metrics(logits, labels, data.group[held_out], data.classes, part="validation")
    value, standard_error = objective(settings.objective, logits, labels, scores)
    scores += context.latency(model)
    seconds = dict(training.seconds)
    seconds["evaluation"] = seconds.get("evaluation", 0.0) + time.perf_counter() - started
    started = time.perf_counter()
    finding = screen(context, model, seed) if settings.screen else None
    importances = _probe(context, model, seed)
    seconds["audit"] = time.perf_counter() - started
    record = TrialRecord(
        number=number,
        key=architecture.key,
        outcome="completed",
        architecture=architecture.to_json(),
        cost=cost_record(context.space, architecture, context.settings.image_size),
        quality=value,
        standard_error=standard_error,
        metrics=scores,
        history=training.history,
        constraints=constraints(context, scores, finding),
        verdict=None if finding is None else finding.verdict,
        seconds={name: round(duration, 4) for name, duration in seconds.items()},
        fidelity={"epochs": float(recipe.epochs), "image_size": float(settings.image_size)},
    )
    save_candidate(
        directory, model=model, architecture=architecture, preprocessing=context.dataset.preprocessing, classes=data.classes,
        metrics=scores, history=training.history, training_hashes=data.image_hashes[context.parts.train], finding=finding,
        name=f"trial {number}",
        selection=data.selection,
    )  # fmt: skip
    write_json(directory / "trial.json", record.model_dump(mode="json"))
    if importances:
        write_json(directory / "block_importances.json", importances)
    remove_checkpoint(directory / "checkpoint.safetensors")
    seal(directory)
    return record


def clear(context: Context, key: str) -> None:
    """Remove what a pruned training has left for its continuation: the study has been told, and nobody continues it."""
    from nas.evaluation.checkpoint import remove_checkpoint

    directory = context.directory.trial(key)
    for name in ("checkpoint.safetensors", "pretraining.safetensors"):
        remove_checkpoint(directory / name)
    with contextlib.suppress(OSError):  # never made, or it holds something else
        directory.rmdir()


def start(
    context: Context, architecture: Architecture, seed: int, directory: Path, on_pretraining: OnEpoch | None = None
) -> torch.nn.Module:
    """The network with its first weights: drawn by ``seed`` and, where the settings ask for it, trained on the phantom."""
    import torch

    settings = context.settings
    torch.manual_seed(seed)  # modules draw their weights from the global generator
    model = context.space.build(architecture, settings.image_size)
    if not context.pretrained:
        return model
    from nas.evaluation.checkpoint import recover_checkpoint
    from nas.evaluation.pretraining import pretrain

    if recover_checkpoint(directory / "checkpoint.safetensors") is None:  # an interrupted training has its weights
        pretrain(
            model, len(context.dataset.classes), settings.image_size, settings.recipe, seed=derived_seed(seed, _PRETRAINING),
            device=context.device, checkpoint=directory / "pretraining.safetensors", on_epoch=on_pretraining,
        )  # fmt: skip
    return model


def cost_record(space: SearchSpace, architecture: Architecture, image_size: int) -> CostRecord:
    """The architecture's analytic cost; records hold whole numbers, and a user's own cost function may give fractions."""
    cost = space.cost(architecture, image_size)
    return CostRecord.model_validate({**cost.record(), **{name: round(getattr(cost, name)) for name in BOUNDS}})


def screen(context: Context, model: torch.nn.Module, seed: int) -> Finding | None:
    """The inquisitor's cheap look, on the audit part; None where the data bring no lung masks to look with."""
    from nas.inquisitor import audit_model

    audit = context.parts.audit
    if not context.dataset.has_mask[audit].any():
        return None
    return audit_model(model, context.dataset, audit, level="screen", seed=seed, device=context.device)


def _probe(context: Context, model: torch.nn.Module, seed: int) -> dict[str, float]:
    """Block importances, for samplers that steer by them."""
    if not context.settings.block_probes:
        return {}
    from nas.inquisitor import block_probes

    return block_probes(model, context.dataset, context.parts.validation, seed=seed, device=context.device)


def constraints(context: Context, scores: tuple[Metric, ...] = (), finding: Finding | None = None) -> dict[str, float]:
    """The full set of named constraints, feasible when ≤ 0, pessimistic where nothing was measured.

    In Optuna 5 a trial without constraints counts as feasible and the first write of each name wins: so all of them are
    computed first and written once.
    """
    values = {str(requirement): violation(requirement, scores) for requirement in context.requirements}
    if context.settings.screen and context.dataset.has_mask.any():
        values["screen"] = 1.0 if finding is None else _SCREEN[finding.verdict]
    return values


def failure_record(
    context: Context,
    architecture: Architecture,
    *,
    number: int,
    outcome: Any,
    reason: str,
    history: tuple[EpochRecord, ...],
    fidelity: float,
) -> TrialRecord:
    """The record of a trial that was pruned or failed."""
    return TrialRecord(
        number=number,
        key=architecture.key,
        outcome=outcome,
        reason=reason,
        architecture=architecture.to_json(),
        cost=cost_record(context.space, architecture, context.settings.image_size),
        history=history,
        constraints=constraints(context),
        fidelity={"epochs": fidelity, "image_size": float(context.settings.image_size)},
    )
