"""How far a training has come: history, plateau and early stopping, best weights; saved and restored as one checkpoint."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.recipe import Recipe
from nas.evaluation.checkpoint import (
    checkpoint_file,
    load_optimiser,
    optimiser_tensors,
    recover_checkpoint,
    save_checkpoint,
)
from nas.evaluation.profile import Account
from nas.records import EpochRecord
from search_spaces.errors import InputError

SAVING_SHARE = 0.1  # most of the training time that writing checkpoints may take


class Progress:
    """Epochs done, what they showed, and what follows from it.

    Attributes:
        epoch: epochs done.
        plateau_factor: factor on the learning rate by the "plateau" schedule.
        stopped: early stopping ended the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        seed: int,
        train_indices: NDArray[np.int64],
        account: Account,
    ) -> None:
        self.model, self.optimiser, self.recipe, self.account = model, optimiser, recipe, account
        self.identity = _identity(model, recipe, seed, train_indices)
        self.history: list[EpochRecord] = []
        self.plateau_factor = 1.0
        self.stopped = False
        self._best: dict[str, Tensor] | None = None
        self._best_loss, self._best_epoch, self._plateau_since = float("inf"), 0, 0
        self._earlier: dict[str, float] = {}
        self._saved_at, self._saving_took = time.perf_counter(), 0.0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def advance(self, record: EpochRecord) -> None:
        """Take in an epoch: keep the best weights, lower the rate on a plateau, stop early, as the recipe says."""
        self.history.append(record)
        loss = record.validation.get("log_loss")
        if loss is None:
            return
        if loss < self._best_loss - 1e-6:
            self._best_loss, self._best_epoch, self._plateau_since = loss, record.epoch, record.epoch
            if self.recipe.early_stopping:
                self._best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.recipe.schedule == "plateau" and record.epoch - self._plateau_since >= self.recipe.step_epochs:
            self.plateau_factor *= self.recipe.step_factor
            self._plateau_since = record.epoch
        self.stopped = bool(self.recipe.early_stopping) and record.epoch - self._best_epoch >= self.recipe.early_stopping

    def restore_best(self) -> bool:
        """With early stopping, put the best epoch's weights back (in place); whether they differ from the present ones."""
        finished = self.stopped or self.epoch >= self.recipe.epochs
        if self._best is None or not finished or self._best_epoch == self.epoch:
            return False
        with torch.no_grad():
            self.model.load_state_dict(self._best)
        return True

    def save(self, path: Path | None, due: bool) -> None:
        """Write the checkpoint where ``due``, else only as often as keeps writing under a tenth of the time."""
        now = time.perf_counter()
        if path is None or (not due and now - self._saved_at < self._saving_took / SAVING_SHARE):
            return
        groups = {
            "model": dict(self.model.state_dict()),
            "optimiser": optimiser_tensors(self.optimiser),
            "best": self._best or {},
        }
        state = {
            "identity": self.identity,
            "history": [record.model_dump() for record in self.history],
            "plateau_factor": self.plateau_factor,
            "stopped": self.stopped,
            "best_loss": None if self._best_loss == float("inf") else self._best_loss,
            "best_epoch": self._best_epoch,
            "plateau_since": self._plateau_since,
            "seconds": self.seconds(),
        }
        save_checkpoint(path, groups, state)
        self._saved_at = time.perf_counter()
        self._saving_took = self._saved_at - now

    def restore(self, path: Path | None) -> None:
        """Continue from the last good checkpoint, if there is one.

        Raises:
            InputError: it belongs to another training (other network, recipe, seed or images).
        """
        found = None if path is None else recover_checkpoint(path)
        if path is None or found is None:
            return
        groups, state = found
        if state["identity"] != self.identity:
            raise InputError(
                f"{checkpoint_file(path)} is of another training (network, recipe, seed or images); delete it to train anew"
            )
        with torch.no_grad():
            self.model.load_state_dict(groups["model"])
        load_optimiser(self.optimiser, groups.get("optimiser", {}))
        self.history = [EpochRecord.model_validate(record) for record in state["history"]]
        self.plateau_factor, self.stopped = state["plateau_factor"], state["stopped"]
        self._best = groups.get("best") or None
        self._best_loss = float("inf") if state["best_loss"] is None else state["best_loss"]
        self._best_epoch, self._plateau_since = state["best_epoch"], state["plateau_since"]
        self._earlier = dict(state["seconds"])

    def seconds(self) -> dict[str, float]:
        """Seconds by phase, those before an interruption included."""
        names = {**self._earlier, **self.account.seconds}
        return {name: self._earlier.get(name, 0.0) + self.account.seconds.get(name, 0.0) for name in names}


def _identity(model: nn.Module, recipe: Recipe, seed: int, train_indices: NDArray[np.int64]) -> str:
    """Hash over what a checkpoint must share with the training that continues from it.

    The image size is not among it: a later rung may train on at a larger one, where the parameters' shapes allow it.
    """
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    digest = hashlib.sha256(repr((shapes, recipe.model_dump_json(), seed)).encode())
    digest.update(np.ascontiguousarray(train_indices, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]
