"""Networks retrained at full fidelity: each seed of each by itself, side by side where the search has several workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from baselines.recipe import Recipe
from nas.engine.directory import RunDirectory, is_sealed, seal
from nas.engine.processes import in_processes
from nas.engine.progress import Progress
from nas.files import read_json, write_json
from nas.records import CROP
from search_spaces import load_architecture

if TYPE_CHECKING:
    from nas.engine.context import Context
    from nas.engine.settings import SearchSettings

# Edits make images more varied, and more takes longer to learn: on a phantom with a planted marker twice the epochs raised an answered
# network's balanced accuracy from 0.60 to 0.74 (unanswered 0.78 to 0.86), on 456 real images 100 instead of 40 its AUC from 0.69 to 0.72
# (unanswered 0.68 to 0.68).
_LONGER = 2
_FINAL = 1_000_000  # first word of the finalists' seed path: apart from every trial's


HOW_TRAINED = "recipe.json"


class HowTrained(BaseModel):
    """Beside a candidate's weights in ``recipe.json``: how to train its like, for an audit by folds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    pretrained: bool = False  # on phantom images first


@dataclass(frozen=True)
class Retraining:
    """One seed of one network.

    Attributes:
        architecture: its JSON. answers: to a finding, training options and the crop. directory: where its candidate is written.
    """

    key: str
    architecture: dict[str, Any]
    seed: int
    answers: tuple[str, ...]
    directory: Path

    def epochs(self, settings: SearchSettings) -> int:
        """Epochs of full fidelity, or twice as many with answers."""
        return settings.full_epochs * (_LONGER if self.answers else 1)

    def text(self, settings: SearchSettings) -> str:
        """What is trained, for whoever watches."""
        how = f", with {', '.join(self.answers)}" if self.answers else ""
        return f"{self.key}{how}, seed {self.seed + 1} of {settings.final_seeds}, {self.epochs(settings)} epochs"

    @property
    def options(self) -> tuple[str, ...]:
        """The training options among the answers; the crop changes the images instead."""
        return tuple(name for name in self.answers if name != CROP)

    @property
    def figures(self) -> dict[str, float | None]:
        """The trained network's figures on validation, by name."""
        return {metric["name"]: metric["value"] for metric in read_json(self.directory / "metrics.json")}


@dataclass
class _Process:
    """What a process holds for all its trainings."""

    context: Context | None = None


_process = _Process()


def retrain(context: Context, wanted: Sequence[Retraining], progress: Progress, processes: int) -> None:
    """Train what is not trained yet. A finished one is kept, an interrupted one goes on from its checkpoint.

    A network comes out the same, whichever process trains it. What a training raises is raised here.
    """
    settings = context.settings
    missing = [one for one in wanted if not is_sealed(one.directory)]
    if processes < 2 or len(missing) < 2:
        for one in missing:
            progress.message(f"retraining {one.text(settings)}")
            _train(context, one)
        return
    progress.message(f"retraining {len(missing)} networks, {min(processes, len(missing))} at a time")

    def done(task: tuple[Any, ...], _: None, count: int) -> None:
        progress.message(f"retrained {task[0].text(settings)} ({count} of {len(missing)})")

    in_processes(
        [(one,) for one in missing], _train_here, done, workers=processes, device=context.device, opened=_open,
        arguments=(settings, context.directory.path),
    )  # fmt: skip


def _open(settings: SearchSettings, directory: Path) -> None:
    from nas.engine.context import Context

    _process.context = Context.open(settings, RunDirectory(directory))


def _train_here(one: Retraining) -> None:
    assert _process.context is not None
    _train(_process.context, one)


def surroundings(context: Context, answers: Sequence[str]) -> Context:
    """The search's own, or with images cut to the lungs where that is one of the answers."""
    return context.cropped if CROP in answers else context


def _train(context: Context, one: Retraining) -> None:
    import torch

    from nas.engine.context import derived_seed
    from nas.engine.objective import start
    from nas.evaluation import metrics, save_candidate, train
    from nas.evaluation.checkpoint import remove_checkpoint
    from nas.jobs.reference import make_reference, save_reference

    context = surroundings(context, one.answers)
    settings, data, held_out, directory = context.settings, context.dataset, context.parts.validation, one.directory
    architecture = load_architecture(one.architecture)
    stream = derived_seed(settings.seed, _FINAL, one.seed)
    model = start(context, architecture, stream, directory)
    recipe = settings.recipe.model_copy(update={"epochs": one.epochs(settings), "answers": one.options})
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
        name=f"{architecture.key} seed {one.seed}",
        selection=data.selection,
    )  # fmt: skip
    save_reference(make_reference(model, data, context.parts, training.validation_logits), directory)
    write_json(directory / HOW_TRAINED, HowTrained(recipe=recipe, pretrained=context.pretrained).model_dump(mode="json"))
    remove_checkpoint(directory / "checkpoint.safetensors")
    seal(directory)
