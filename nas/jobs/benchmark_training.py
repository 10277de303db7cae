"""Train one model on one fold, or read what an earlier attempt wrote; score it on the held-out fold and the sealed test.

Each (model, seed, fold) has a directory: a candidate that ``nas audit`` can read, ``predictions.safetensors``, and
``fold.json``, which is written last: a fold with that file is done, one without starts again from its checkpoint.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.engine.context import derived_seed
from nas.files import read_json, write_bytes, write_json
from nas.jobs.benchmark_folds import Fold
from search_spaces.errors import ToolkitError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from baselines import Recipe
    from baselines.recipe import Initialise
    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant
    from nas.records import EpochRecord

Logits = NDArray[np.float32]
CHECKPOINTS = "checkpoints"  # in a fold's directory; only there to survive a kill
FAILURES = (ToolkitError, RuntimeError, ArithmeticError, MemoryError)  # of a training; its row says so, the others go on
DIVERGENCE = (ToolkitError, ArithmeticError)  # a rate that is too high: the next one is tried


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What one training gave: logits (n, classes) on the held-out fold and on the sealed test, or why it failed.

    ``seconds`` are those of the training that was kept; ``machine`` is the device and precision that it ran in.
    """

    fold: Fold
    directory: Path
    held_out: Logits
    test: Logits
    seconds: float
    epochs: int
    pretraining: str
    failed: str = ""
    machine: str = ""


def train_fold(arena: Arena, entrant: Entrant, fold: Fold, progress: Any) -> FoldResult:
    """Train, or read; a training that fails is a result with its reason (and is tried again when resumed)."""
    directory = arena.home(entrant) / fold.name
    done = read_fold(arena, fold, directory)
    if done is not None:
        return done
    progress.message(f"{entrant.name}, {fold.name}: training on {len(fold.train):,} images")
    started = time.perf_counter()
    try:
        return _train(arena, entrant, fold, directory)
    except FAILURES as error:
        reason = f"{fold.name}: {first_line(error)}"
        progress.message(f"{entrant.name} failed: {reason}")
        return failure(arena, fold, directory, reason, time.perf_counter() - started)


def failure(arena: Arena, fold: Fold, directory: Path, reason: str, seconds: float) -> FoldResult:
    """The result of a fold that could not be trained."""
    nothing = np.zeros((0, len(arena.dataset.classes)), dtype=np.float32)
    return FoldResult(fold, directory, nothing, nothing, seconds, 0, "none", reason)


def _train(arena: Arena, entrant: Entrant, fold: Fold, directory: Path) -> FoldResult:
    from nas.evaluation import metrics, predict_logits, save_candidate
    from nas.jobs.benchmark_pretraining import initialiser

    data = arena.dataset
    start = initialiser(arena, entrant, fold.seed)
    model, run = _fitted(arena, entrant, fold, directory / CHECKPOINTS, start.initialise)
    held_out = predict_logits(model, arena.device_data, indices=fold.held_out)
    test = predict_logits(model, arena.device_data, indices=arena.parts.test)
    if not (np.isfinite(held_out).all() and np.isfinite(test).all()):
        raise ArithmeticError("the trained network's scores are no finite numbers")
    scores = metrics(
        held_out, data.labels[fold.held_out], data.group[fold.held_out], data.classes, part=f"out of fold, {fold.name}"
    )
    save_candidate(
        directory, model=model, **entrant.origin, preprocessing=data.preprocessing, classes=data.classes, metrics=scores,
        history=run.history, training_hashes=data.image_hashes[np.concatenate([fold.train, fold.validation])],
        name=f"{entrant.name} {fold.name}",
    )  # fmt: skip
    result = FoldResult(
        fold, directory, held_out, test, round(run.seconds, 2), len(run.history), start.kind,
        machine=f"{arena.device}, {arena.device_data.precision}",
    )  # fmt: skip
    write_fold(arena, result, start.detail)
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)
    return result


def rates_file(arena: Arena, entrant: Entrant) -> Path:
    """Where the learning rates that were tried on the first fold stand, with their validation losses."""
    return arena.home(entrant) / "learning_rates.json"


def picked_rate(arena: Arena, entrant: Entrant) -> float | None:
    """The learning rate that the first fold's validation picked; None where nothing was tried."""
    path = rates_file(arena, entrant)
    if not path.exists():
        return None
    losses = {float(rate): float(loss) for rate, loss in read_json(path).items() if loss is not None}
    return min(losses, key=lambda rate: losses[rate])


def rates_to_try(arena: Arena, entrant: Entrant) -> tuple[float, ...]:
    """The learning rates that an entrant is still to be trained with on the first fold; none where one is picked or not asked for."""
    settings = arena.settings
    alone = settings.recipe == "shared" and settings.pretraining_kind != "shared"  # else two would pretrain the same weights
    return settings.learning_rates if alone and picked_rate(arena, entrant) is None else ()


def try_rate(arena: Arena, entrant: Entrant, fold: Fold, rate: float) -> str:
    """Train the first fold with one of its rates and leave the checkpoints, from which ``train_fold`` goes on to pick.

    Returns:
        Why it failed, or nothing; ``train_fold`` meets it again and decides what it means.
    """
    from nas.jobs.benchmark_pretraining import initialiser

    run = _at_rate(arena, entrant, fold, arena.home(entrant) / fold.name / CHECKPOINTS, rate)
    try:
        run.fit(initialiser(arena, entrant, fold.seed).initialise)
    except FAILURES as error:
        return first_line(error)
    return ""


def _at_rate(arena: Arena, entrant: Entrant, fold: Fold, checkpoints: Path, rate: float) -> FoldTraining:
    own = replace(entrant, recipe=entrant.recipe.model_copy(update={"learning_rate": rate}))
    return FoldTraining(arena, own, fold, checkpoints / f"rate{rate:g}")


def _fitted(
    arena: Arena, entrant: Entrant, fold: Fold, checkpoints: Path, initialise: Initialise
) -> tuple[nn.Module, FoldTraining]:
    """The network trained on the fold; on the first fold once with each learning rate, of which its validation picks one.

    The same few rates are tried for every model: one rate for all would favour whom it suits.
    """
    settings = arena.settings
    if settings.recipe == "paper" or not settings.learning_rates:
        run = FoldTraining(arena, entrant, fold, checkpoints)
        return run.fit(initialise), run
    picked = picked_rate(arena, entrant)
    rates = settings.learning_rates if picked is None else (picked,)
    best: tuple[nn.Module, FoldTraining] | None = None
    losses: dict[str, float | None] = {}
    for rate in rates:
        run = _at_rate(arena, entrant, fold, checkpoints, rate)
        try:
            model = run.fit(initialise)
        except DIVERGENCE as error:
            losses[repr(rate)] = None
            if len(losses) == len(rates) and best is None:
                raise error
            continue
        losses[repr(rate)] = run.validation_loss
        if best is None or run.validation_loss < best[1].validation_loss:
            best = model, run
    assert best is not None
    if picked is None:
        write_json(rates_file(arena, entrant), losses)
    return best


class FoldTraining:
    """One fold's images, labels and training function: the ``FitData`` and ``TrainFunction`` of a staged ``fit``."""

    def __init__(self, arena: Arena, entrant: Entrant, fold: Fold, checkpoints: Path) -> None:
        self.arena, self.entrant, self.fold, self.checkpoints = arena, entrant, fold, checkpoints
        self.seed = derived_seed(arena.settings.seed, fold.seed, fold.number)
        self.history: list[EpochRecord] = []
        self.stages = 0
        self.seconds = 0.0  # of all stages, also of those before a kill
        self.validation_loss = float("inf")  # class-balanced log-loss after the last stage

    @property
    def images(self) -> torch.Tensor:
        """Training images, uint8 (N, 1, H, W)."""
        return self._rows(self.fold.train)

    @property
    def labels(self) -> torch.Tensor:
        """Their labels, int64 (N,)."""
        return self._labels(self.fold.train)

    @property
    def validation_images(self) -> torch.Tensor:
        """Validation images, uint8 (M, 1, H, W)."""
        return self._rows(self.fold.validation)

    @property
    def validation_labels(self) -> torch.Tensor:
        """Their labels, int64 (M,)."""
        return self._labels(self.fold.validation)

    def _rows(self, indices: NDArray[np.int64]) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.arena.dataset.images[indices]))

    def _labels(self, indices: NDArray[np.int64]) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.arena.dataset.labels[indices].astype(np.int64))

    def fit(self, initialise: Initialise) -> nn.Module:
        """The trained network, by the entrant's stages or in one go."""
        from baselines.layers import seeded

        settings, entrant = self.arena.settings, self.entrant
        if entrant.fit is not None:
            return entrant.fit(
                self, self, classes=len(self.arena.dataset.classes), image_size=settings.image_size, recipe=entrant.recipe,
                seed=self.seed % 2**31, in_channels=entrant.in_channels, initialise=initialise,
            )  # fmt: skip
        model = seeded(self.seed, lambda: entrant.build(settings.image_size))
        initialise(model)
        self(model, entrant.recipe)
        return model

    def __call__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        labels: torch.Tensor | None = None,
        n_classes: int | None = None,
        image_size: int | None = None,
    ) -> float:
        """Train in place on the fold; the class-balanced log-loss on its validation images."""
        from nas.evaluation import quality, train

        arena, fold = self.arena, self.fold
        self.stages += 1
        training = train(
            model, arena.device_data, fold.train, fold.validation, recipe, seed=derived_seed(self.seed, self.stages),
            checkpoint=self.checkpoints / f"stage{self.stages}", image_size=image_size, training_labels=labels,
        )  # fmt: skip
        del n_classes  # the network knows its width; validation stays in the original classes
        self.seconds += sum(training.seconds.values())
        offset = len(self.history)
        self.history += [record.model_copy(update={"epoch": record.epoch + offset}) for record in training.history]
        self.validation_loss = quality(training.validation_logits, arena.dataset.labels[fold.validation])[0]
        return self.validation_loss


def _split(arena: Arena, fold: Fold) -> str:
    """Hash of which images train, validate, are held out and sealed: the same images may be split otherwise by their table."""
    parts = (fold.train, fold.validation, fold.held_out, arena.parts.test)
    return hashlib.sha256(repr([part.tolist() for part in parts]).encode()).hexdigest()[:16]


def write_fold(arena: Arena, result: FoldResult, pretraining: str) -> None:
    """Predictions first, the fold's own record last."""
    import torch
    from safetensors.torch import save

    tensors = {"held_out": torch.from_numpy(result.held_out), "test": torch.from_numpy(result.test)}
    write_bytes(result.directory / "predictions.safetensors", save(tensors))
    write_json(
        result.directory / "fold.json",
        {
            "fingerprint": arena.dataset.fingerprint,
            "split": _split(arena, result.fold),
            "seed": result.fold.seed,
            "fold": result.fold.number,
            "seconds": result.seconds,
            "epochs": result.epochs,
            "pretraining": result.pretraining,
            "pretraining_detail": pretraining,
            "machine": result.machine,
        },
    )


def read_fold(arena: Arena, fold: Fold, directory: Path) -> FoldResult | None:
    """What an earlier attempt finished, or None.

    Raises:
        ToolkitError: it was trained on other images, or on another split of them.
    """
    from safetensors.torch import load_file

    if not (directory / "fold.json").exists():
        return None
    facts = read_json(directory / "fold.json")
    if facts["fingerprint"] != arena.dataset.fingerprint:
        raise ToolkitError(f"{directory} was trained on other images; the data changed since, so choose another --out")
    if facts.get("split", _split(arena, fold)) != _split(arena, fold):
        raise ToolkitError(f"{directory} was trained on another split of these images; restore it, or choose another --out")
    tensors = load_file(directory / "predictions.safetensors")
    return FoldResult(
        fold, directory, tensors["held_out"].numpy(), tensors["test"].numpy(), facts["seconds"], facts["epochs"],
        facts["pretraining"], machine=facts.get("machine", ""),
    )  # fmt: skip
