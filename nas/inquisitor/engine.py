"""The perturbation engine: streams (image × edit) pairs through a model in batches of bounded memory.

Every test, occlusion, deletion curve and Impact Score runs on it. An edit is a function from pair numbers to images, so no
more than one batch of edited images ever exists; what is kept is one row of logits for each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.dataset import Dataset, Indices
from search_spaces.errors import InputError

CPU_PIXELS = 2**19  # a batch of 128 images of 64 px: about where the throughput of small networks levels off on a CPU
GPU_PIXELS = 2**23

Edit = Callable[[Tensor], Tensor]
"""Pair numbers, int64 (b,), to edited images, float (b, 1, H, W) in [0, 1], on the engine's device."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode; every module's own mode is put back afterwards, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training


class Engine:
    """Runs a model over edits.

    Args:
        model: from float (n, 1, H, W) in [0, 1] to logits (n, classes). Only called, never changed.
        device: where the model and the images live.
        pixels: image pixels in one batch, the only memory knob; ``None`` takes the device's default.
    """

    def __init__(self, model: nn.Module, device: str | torch.device = "cpu", pixels: int | None = None) -> None:
        self.model = model
        self.device = torch.device(device)
        self.pixels = pixels or (CPU_PIXELS if self.device.type == "cpu" else GPU_PIXELS)
        self.passes = 0  # images pushed through the model so far: what an audit costs

    def batch_size(self, image_size: int) -> int:
        """Images in a batch at this many pixels a side; at least one."""
        return max(1, self.pixels // (image_size * image_size))

    def strata(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which network answers for each row of the data set, int64 (n,): donors must be of the recipient's."""
        return np.zeros(len(rows), np.int64)

    def answer(self, images: Tensor, rows: NDArray[np.int64] | None) -> Tensor:
        """Logits (b, classes) of edited images (b, 1, H, W); ``rows`` (b,) say which row of the data set each one shows."""
        return self.model(images)

    def logits(self, edit: Edit, pairs: int, image_size: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Logits of ``pairs`` edited images, float32 (pairs, classes); ``rows`` (pairs,) as in :meth:`answer`."""
        size = self.batch_size(image_size)
        parts: list[Tensor] = []
        with evaluating(self.model), torch.inference_mode():
            for start in range(0, pairs, size):
                numbers = torch.arange(start, min(start + size, pairs), device=self.device)
                shown = None if rows is None else rows[start : start + size]
                parts.append(self.answer(edit(numbers), shown).float().cpu())
        self.passes += pairs
        if not parts:
            return np.zeros((0, 0), np.float32)
        found = torch.cat(parts).numpy()
        if not np.isfinite(found).all():
            bad = int((~np.isfinite(found)).any(axis=1).sum())
            raise InputError(f"the model returned NaN or infinite logits for {bad} of {pairs} images; it cannot be audited")
        return found

    def on_images(self, images: Tensor, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Logits of images as they are, uint8 or float (n, 1, H, W)."""
        return self.logits(lambda numbers: to_float(images[numbers]), len(images), images.shape[-1], rows)


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
