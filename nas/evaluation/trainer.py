"""Train one network: the whole loop, with resumable rungs, early stopping and a per-phase account.

Nothing inside an epoch waits for the device: batches and augmentation are drawn for the epoch at once, losses are summed on
the device, and the host reads one number when the epoch is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.recipe import Recipe, resolve
from nas.evaluation.answers import Answers
from nas.evaluation.augmentation import apply_changes
from nas.evaluation.batches import EpochPlan, epoch_seed, plan_epoch, steps_per_epoch
from nas.evaluation.device import DeviceData
from nas.evaluation.errors import DivergedError, TrainingError, is_out_of_memory
from nas.evaluation.memory import keep_freed_memory
from nas.evaluation.normalisation import IMAGES, reestimate
from nas.evaluation.optimisation import frozen, make_optimiser, parameter_groups, rate_factor, set_rate, set_training
from nas.evaluation.predict import predict_logits
from nas.evaluation.profile import Account
from nas.evaluation.progress import Progress
from nas.evaluation.quality import balanced_accuracy, probabilities, quality
from nas.evaluation.step import GraphStep, TrainingStep, make_step
from nas.records import EpochRecord
from nas.statistics import macro_auc
from search_spaces.errors import InputError

OnEpoch = Callable[[EpochRecord], None]
# On an H200 the search took 16 to 26 s for a PEPX network and 35 to 43 s for COVID-Net, anew for each architecture and process,
# while a captured step took 3 ms: even a tenth of each step saved pays only from about here on.
SEARCHED_STEPS = 100_000


@dataclass(frozen=True)
class Training:
    """What a training gives back; the network itself was trained in place.

    Attributes:
        history: one record for each epoch, those before an interruption included.
        validation_logits: float32 (n_validation, classes), of the weights that the network now has.
        seconds: by phase.
        complete: False where a rung ended before the recipe's epochs.
        notes: what was done otherwise than asked, and why (a CUDA graph that could not be captured).
    """

    history: tuple[EpochRecord, ...]
    validation_logits: NDArray[np.float32]
    seconds: dict[str, float]
    complete: bool = True
    notes: tuple[str, ...] = field(default=())


def train(
    model: nn.Module,
    data: DeviceData,
    train_indices: NDArray[np.int64],
    validation_indices: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    image_size: int | None = None,
    max_epochs: int | None = None,
    training_labels: Tensor | None = None,
    capture: bool = True,
) -> Training:
    """Train ``model`` in place, on the device that ``data`` lies on; parameters that need no gradient stay as they are.

    A trained network is left in evaluation mode, its memory laid out by channels last: on the CPU too that was 1.3 to 3 times
    faster for six PEPX networks.

    Args:
        train_indices, validation_indices: rows of ``data``; validation may be empty.
        recipe: how; its schedule runs over ``recipe.epochs`` also where ``max_epochs`` ends a rung earlier.
        seed: of batches, augmentation and dropout; the same seed and thread count give the same weights on a CPU.
        on_epoch: told about each epoch, on continuing from a checkpoint about those before it first, so that a pruner sees the
            whole curve; what it raises passes through (pruning).
        checkpoint: a file that the training continues from if it is there, and writes after epochs.
        image_size: train and validate at another size than the data's.
        training_labels: other labels, int64 (len(train_indices),), for example of sub-classes.
        capture: on CUDA, capture the step as a graph.

    Raises:
        DivergedError: the loss is no finite number any more.
        TrainingError: the device ran out of memory; ``reason`` says so.
        InputError: no training images, or a checkpoint of another training.
    """
    if len(train_indices) == 0:
        raise InputError("training needs at least one image, but the training part is empty")
    labels = data.host_labels[train_indices] if training_labels is None else training_labels.cpu().numpy()
    recipe = resolve(recipe, tuple(np.bincount(labels, minlength=data.classes).tolist()), model)
    device = data.device
    keep_freed_memory()
    try:
        with _surroundings(device, seed), frozen(model, recipe):
            model.to(device=device)
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
            loop = _Loop(model, data.at_size(image_size), train_indices, validation_indices, labels, recipe, seed, capture)
            return loop.run(on_epoch, checkpoint, min(max_epochs or recipe.epochs, recipe.epochs))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        model.zero_grad(set_to_none=True)
        raise TrainingError(
            f"out of memory on {device} at batch size {recipe.batch_size}; use a smaller batch", "out of memory"
        ) from error


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        model: nn.Module,
        data: DeviceData,
        train_indices: NDArray[np.int64],
        validation_indices: NDArray[np.int64],
        labels: NDArray[np.int64],
        recipe: Recipe,
        seed: int,
        capture: bool,
    ) -> None:
        self.model, self.data, self.recipe, self.seed = model, data, recipe, seed
        self.train_indices, self.validation_indices, self.labels = train_indices, validation_indices, labels
        self.answers = Answers(recipe, data, train_indices)
        self.optimiser = make_optimiser(parameter_groups(model, recipe), recipe, data.device)
        self.step: TrainingStep = make_step(model, self.optimiser, recipe, data.device, capture, data.precision)
        self.account = Account()
        self.progress = Progress(model, self.optimiser, recipe, seed, train_indices, self.account)
        clean = np.random.default_rng(seed).permutation(np.asarray(train_indices))[:IMAGES]
        self.clean_rows = torch.from_numpy(clean).to(data.device)
        self.by_row = torch.zeros(len(data), dtype=torch.int64)
        self.by_row[torch.from_numpy(np.asarray(train_indices))] = torch.from_numpy(labels)
        self.by_row = self.by_row.to(data.device)

    def run(self, on_epoch: OnEpoch | None, checkpoint: Path | None, last: int) -> Training:
        with self.account.phase("bookkeeping"):
            self.progress.restore(checkpoint)
        if on_epoch is not None:
            for record in self.progress.history:
                on_epoch(record)
        logits = None
        steps = self.recipe.epochs * steps_per_epoch(self.recipe, len(self.train_indices))
        while self.progress.epoch < last and not self.progress.stopped:
            with _kernel_search(self.data.device, steps):
                loss, images_per_second = self.one_epoch(self.progress.epoch)
            with self.account.phase("normalisation"):
                reestimate(self.model, self.data, self.clean_rows)
            with self.account.phase("evaluation"):
                logits, scores = self.validate()
            with self.account.phase("bookkeeping"):
                rate = float(self.optimiser.param_groups[0]["lr"]) / self.optimiser.param_groups[0]["rate"]
                record = EpochRecord(
                    epoch=self.progress.epoch + 1, train_loss=loss, learning_rate=rate, validation=scores, images_per_second=images_per_second
                )  # fmt: skip
                self.progress.advance(record)
                self.progress.save(checkpoint, due=self.progress.epoch >= last or self.progress.stopped)
            if on_epoch is not None:
                on_epoch(record)
        with self.account.phase("evaluation"):
            if self.progress.restore_best() or logits is None:
                logits, _ = self.validate()
        self.model.eval()  # the estimate of normalisation has left that in training mode, and nothing else
        notes = (self.step.fallback,) if isinstance(self.step, GraphStep) and self.step.fallback else ()
        complete = self.progress.stopped or self.progress.epoch >= self.recipe.epochs
        return Training(tuple(self.progress.history), logits, self.progress.seconds(), complete, notes)

    def one_epoch(self, epoch: int) -> tuple[float, float]:
        """Mean loss and images per second of one epoch."""
        started = time.perf_counter()
        self.account.start()
        drawn = plan_epoch(
            self.train_indices, self.labels, self.recipe, seed=self.seed, epoch=epoch, sources=self.answers.sources
        )
        plan = drawn.to(self.data.device)
        self.answers.start(self.seed, epoch)
        torch.manual_seed(epoch_seed(self.seed, epoch))  # dropout; the surroundings restore the global generator
        set_training(self.model)
        self.step.begin()
        self.account.mark("data")
        steps, batch = plan.indices.shape
        for position, (images, labels) in enumerate(self.batches(plan, drawn.indices)):
            factor = rate_factor(self.recipe, epoch * steps + position, self.recipe.epochs * steps, epoch)
            set_rate(self.optimiser, self.recipe.learning_rate * self.progress.plateau_factor * factor)
            self.step(images, labels, self.account)
        loss = float(self.step.loss_sum) / steps  # the one wait for the device
        self.account.mark("device" if self.data.device.type == "cuda" else "bookkeeping")
        if not np.isfinite(loss):
            raise DivergedError(
                f"the training loss became {loss} in epoch {epoch + 1}; lower the learning rate ({self.recipe.learning_rate:g})"
            )
        return loss, steps * batch / (time.perf_counter() - started)

    def batches(self, plan: EpochPlan, on_host: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Changed images, float32 (batch, 1, H, W), and labels (batch,); on CUDA several batches are made at a time.

        Images that did not fit on the device are gathered by the indices ``on_host`` while the device still works on the
        steps before: nothing waits for it.
        """
        steps, batch = plan.indices.shape
        together = 8 if self.data.device.type == "cuda" else 1
        means = self.data.means
        for first in range(0, steps, together):
            rows = plan.indices[first : first + together].flatten()
            images = self.data.gather(rows if self.data.resident else on_host[first : first + together].flatten())
            labels = self.by_row.index_select(0, rows)
            self.account.mark("data")
            changes = plan.changes.rows(first * batch, first * batch + len(rows))
            images, edited_means = self.answers.apply(images, rows)
            images = apply_changes(images, changes, means.index_select(0, rows) if edited_means is None else edited_means)
            self.account.mark("augmentation")
            yield from zip(images.split(batch), labels.split(batch), strict=True)

    def validate(self) -> tuple[NDArray[np.float32], dict[str, float]]:
        """Validation logits and scores of the weights as they are."""
        logits = predict_logits(self.model, self.data, indices=self.validation_indices)
        if len(logits) == 0:
            return logits, {}
        if not np.isfinite(logits).all():
            raise DivergedError("the network's validation scores are no finite numbers; lower the learning rate")
        return logits, scores(logits, self.data.host_labels[self.validation_indices])


def scores(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """What an epoch's record says about validation."""
    found = {"log_loss": quality(logits, labels)[0], "balanced_accuracy": balanced_accuracy(logits, labels)}
    if len(np.unique(labels)) > 1:
        found["auroc"] = macro_auc(probabilities(logits), labels)
    return found


@contextmanager
def _surroundings(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded dropout, with the global generators put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(epoch_seed(seed, 0))
        yield


@contextmanager
def _kernel_search(device: torch.device, steps: int) -> Iterator[None]:
    """Let cuDNN time its kernels for the step's fixed shapes, where a training of so many ``steps`` is long enough to pay for it.

    An evaluation's few passes never are.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda" and steps >= SEARCHED_STEPS
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
