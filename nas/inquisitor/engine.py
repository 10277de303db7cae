"""The perturbation engine: streams (image × edit) pairs through a model in batches of bounded memory.

Every test, occlusion, deletion curve and Impact Score runs on it. An edit is a function from pair numbers to images, so no
more than a few batches of edited images ever exist; what is kept is one row of logits for each pair.

On a CPU batches are spread over threads, each of which computes alone: the operations of an edit and of a small network are too
short to be shared out one by one, and a batch's logits are the same whoever computes them, however many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.dataset import Dataset, Indices
from nas.evaluation.predict import evaluating
from nas.inquisitor.inference import agree, for_inference, replica
from search_spaces.errors import InputError

CPU_PIXELS = 2**18  # a batch of 64 images of 64 px; 128 took 0.9 to 2.8 times as long an image for four PEPX networks
GPU_PIXELS = 2**23
MANY = 4  # batches that are worth a faster copy of the network
COMPARED = 8  # images that it must answer as the network does
MOST_WORKERS = 8  # each holds a batch and what the network computes of it

Edit = Callable[[Tensor], Tensor]
"""Pair numbers, int64 (b,), to edited images, float (b, 1, H, W) in [0, 1], on the engine's device; the same for the same numbers."""


class Engine:
    """Runs a model over edits.

    Args:
        model: from float (n, 1, H, W) in [0, 1] to logits (n, classes). Only called, never changed.
        device: where the model and the images live.
        pixels: image pixels in one batch; ``None`` takes the device's default.
        workers: batches computed at a time, each by one thread; only on a CPU. Edits must then not depend on the order of batches.
    """

    def __init__(
        self, model: nn.Module, device: str | torch.device = "cpu", pixels: int | None = None, workers: int = 1
    ) -> None:
        self.model = model
        self.device = torch.device(device)
        self.pixels = pixels or (CPU_PIXELS if self.device.type == "cpu" else GPU_PIXELS)
        self.workers = min(workers, MOST_WORKERS) if self.device.type == "cpu" else 1
        self.passes = 0  # images pushed through the model so far: what an audit costs

    def batch_size(self, image_size: int) -> int:
        """Images in a batch at this many pixels a side; at least one."""
        return max(1, self.pixels // (image_size * image_size))

    def strata(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which network answers for each row of the data set, int64 (n,): donors must be of the recipient's."""
        return np.zeros(len(rows), np.int64)

    def answer(self, model: nn.Module, images: Tensor, rows: NDArray[np.int64] | None) -> Tensor:
        """Logits (b, classes) by ``model`` of edited images (b, 1, H, W); ``rows`` (b,) say which row of the data set each one shows."""
        return model(images)

    def logits(self, edit: Edit, pairs: int, image_size: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Logits of ``pairs`` edited images, float32 (pairs, classes); ``rows`` (pairs,) as in :meth:`answer`."""
        size = self.batch_size(image_size)
        starts = range(0, pairs, size)

        def batch(model: nn.Module, start: int) -> Tensor:
            with torch.inference_mode():  # holds for the thread that it is entered in
                numbers = torch.arange(start, min(start + size, pairs), device=self.device)
                return self.answer(model, edit(numbers), _part(rows, start, size)).float().cpu()

        found = np.zeros((0, 0), np.float32)
        with evaluating(self.model):
            model = self._fastest(edit, starts, pairs, rows)
            networks = self._networks(model) if min(self.workers, len(starts)) > 1 else None
            parts = (batch(model, start) for start in starts) if networks is None else self._spread(batch, starts, networks)
            for start, part in zip(starts, parts, strict=True):
                if start == 0:
                    found = np.empty((pairs, part.shape[1]), np.float32)
                found[start : start + len(part)] = part.numpy()  # kept apart, small results would cut the heap to pieces
        self.passes += pairs
        if not np.isfinite(found).all():
            bad = int((~np.isfinite(found)).any(axis=1).sum())
            raise InputError(f"the model returned NaN or infinite logits for {bad} of {pairs} images; it cannot be audited")
        return found

    def _fastest(self, edit: Edit, starts: range, pairs: int, rows: NDArray[np.int64] | None) -> nn.Module:
        """A faster copy of the model where there is much to answer on a CPU, and it answers the same; else the model.

        It is made for each call: between two of them anybody may change the model's weights.
        """
        if self.device.type != "cpu" or len(starts) < MANY:
            return self.model
        copied = for_inference(self.model)
        if copied is None:
            return self.model
        with torch.inference_mode():
            first = edit(torch.arange(min(starts.step, pairs)))  # all of the first batch: an edit may depend on what is in one
            images = first[:COMPARED]
            shown = _part(rows, 0, len(images))
            same = agree(self.answer(self.model, images, shown), self.answer(copied, images, shown))
        return copied if same else self.model

    def _spread(
        self, batch: Callable[[nn.Module, int], Tensor], starts: range, free: SimpleQueue[nn.Module]
    ) -> Iterator[Tensor]:
        """The batches in order, computed by several threads; each network is used by one of them at a time."""

        def work(start: int) -> Tensor:
            model = free.get()
            try:
                return batch(model, start)
            finally:
                free.put(model)

        threads = torch.get_num_threads()
        try:
            yield from self._pool.map(work, starts)
        finally:
            torch.set_num_threads(threads)  # the pool's threads set the number that later threads start with

    def _networks(self, model: nn.Module) -> SimpleQueue[nn.Module] | None:
        """One network for each worker, in its mode; None where a model cannot be copied: one thread then."""
        return self._replicas if model is self.model else _replicas(model, self.workers)

    @cached_property
    def _replicas(self) -> SimpleQueue[nn.Module] | None:
        return _replicas(self.model, self.workers)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that compute alone; they live as long as the engine, with what they remember of the network's layers."""
        return ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,))

    def on_images(self, images: Tensor, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Logits of images as they are, uint8 or float (n, 1, H, W)."""
        return self.logits(lambda numbers: to_float(images[numbers]), len(images), images.shape[-1], rows)

    def clean_logits(self, shown: Exhibits) -> NDArray[np.float32]:
        """Logits of the images under audit as they are, float32 (n, classes): the first question of an audit."""
        return self.on_images(shown.images, shown.rows)

    def comparable(self, odds: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-odds (n, classes) in a unit common to all networks that answer for these rows (n,): one needs none."""
        return odds

    def log_odds(self, edit: Edit, pairs: int, image_size: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """As :meth:`logits`, but comparable log-odds of every class against the rest, float64 (pairs, classes)."""
        return self.comparable(margins(self.logits(edit, pairs, image_size, rows)), rows)


def _replicas(model: nn.Module, number: int) -> SimpleQueue[nn.Module] | None:
    free: SimpleQueue[nn.Module] = SimpleQueue()
    for _ in range(number):
        other = replica(model)
        if other is None:
            return None
        free.put(other)
    return free


def _part(rows: NDArray[np.int64] | None, start: int, size: int) -> NDArray[np.int64] | None:
    return None if rows is None else rows[start : start + size]


def to_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def margins(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Log-odds of every class against the rest, float64 (…, classes) from logits (…, classes).

    ``z_c = logit_c − log Σ_{k≠c} exp(logit_k)``: the log-odds of the softmax probability, exact also where it saturates.
    """
    values = logits.astype(np.float64)
    classes = values.shape[-1]
    if classes < 2:
        raise InputError(f"a model needs at least 2 logits, one a class, but returned {classes}")
    found = np.empty_like(values)
    for index in range(classes):
        rest = np.delete(values, index, axis=-1)
        peak = rest.max(axis=-1, keepdims=True)
        found[..., index] = values[..., index] - (peak[..., 0] + np.log(np.exp(rest - peak).sum(axis=-1)))
    return found


def spread(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """σ of log-odds (n, classes) over the images, float64 (classes,): the unit of effects. A model that never moves has none (1)."""
    found = odds.std(axis=0, ddof=1) if len(odds) > 1 else np.ones(odds.shape[1])
    return np.where(found > 1e-9, found, 1.0)


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    values = logits.astype(np.float64)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Exhibits:
    """The images under audit, on the device, in one order.

    Attributes:
        images: uint8 (n, 1, H, W). masks: bool (n, H, W), lungs. labels: int64 (n,).
        groups, sources: str (n,). rows: where each stands in ``dataset``.
    """

    dataset: Dataset
    rows: Indices
    images: Tensor
    masks: Tensor
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]

    @classmethod
    def gather(cls, dataset: Dataset, rows: Indices, device: str | torch.device = "cpu") -> Exhibits:
        """The given rows of a data set."""
        rows = np.asarray(rows, dtype=np.int64)
        images = torch.from_numpy(np.ascontiguousarray(dataset.images[rows])).to(device)
        masks = torch.from_numpy(dataset.masks(rows)).to(device)
        return cls(dataset, rows, images, masks, dataset.labels[rows], dataset.group[rows], dataset.source[rows])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[-1])

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """Groups as numbers from 0, int64 (n,)."""
        return np.unique(self.groups, return_inverse=True)[1].astype(np.int64)

    def take(self, positions: Indices) -> Exhibits:
        """Some of them, in the given order."""
        where = torch.as_tensor(positions, device=self.images.device)
        return Exhibits(
            self.dataset, self.rows[positions], self.images[where], self.masks[where],
            self.labels[positions], self.groups[positions], self.sources[positions],
        )  # fmt: skip
