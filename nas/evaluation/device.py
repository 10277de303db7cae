"""The images of a data set, resident on the training device as uint8, with their labels."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nas.data.dataset import Dataset
from search_spaces.errors import InputError

Precision = Literal["float32", "bfloat16"]  # of a network's activations; weights and their updates stay float32

RESIDENT_SHARE = 0.6  # of the free device memory that images may take; the rest is for training


class DeviceData:
    """Images and labels where the training step wants them; made once for all candidates.

    Attributes:
        images: uint8 (N, 1, H, W) on ``device``; on the CPU it shares (possibly memory-mapped) storage with the data set;
            in pinned host memory where it does not fit on the device (``resident`` is then False).
        labels: int64 (N,) on ``device``.
        dataset: the data set it was made from, or ``None``.
        precision: what networks compute in where they are trained on, or predict for, these images.
    """

    def __init__(self, dataset: Dataset, device: str | torch.device = "cpu", precision: Precision | None = None) -> None:
        labels = torch.from_numpy(np.array(dataset.labels))
        self._hold(shared_tensor(dataset.images), labels, device, len(dataset.classes), precision)
        self.dataset: Dataset | None = dataset

    @classmethod
    def from_tensors(
        cls, images: Tensor, labels: Tensor, classes: int, device: str | torch.device = "cpu", dataset: Dataset | None = None,
        precision: Precision | None = None,
    ) -> DeviceData:  # fmt: skip
        """The same from tensors: uint8 (N, 1, H, W) and int64 (N,)."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1:
            raise InputError(f"images must be uint8 (N, 1, H, W), but got {images.dtype} {tuple(images.shape)}")
        data = cls.__new__(cls)
        data._hold(images, labels, device, classes, precision)
        data.dataset = dataset
        return data

    def _hold(
        self, images: Tensor, labels: Tensor, device: str | torch.device, classes: int, precision: Precision | None
    ) -> None:
        self.device = torch.device(device)
        self.precision = precision or usual_precision(self.device)
        self.resident = fits(images.numel(), self.device)
        if self.device.type == "cpu":
            self.images = images
        else:
            self.images = images.to(self.device) if self.resident else images.contiguous().pin_memory()
        self.labels = labels.to(self.device, torch.int64)
        self.host_labels = labels.to("cpu", torch.int64).numpy()
        self.classes = classes
        self._sizes: dict[int, DeviceData] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[-1])

    @cached_property
    def means(self) -> Tensor:
        """Mean brightness of each image in [0, 1], float32 (N,): the pivot of contrast changes."""
        parts = [part.float().mean(dim=(1, 2, 3)) for part in self.images.split(1024)]
        return (torch.cat(parts) / 255 if parts else torch.zeros(0)).to(self.device)

    def at_size(self, image_size: int | None) -> DeviceData:
        """The same images at another size (antialiased bilinear), made once for each size."""
        if image_size is None or image_size == self.image_size:
            return self
        if image_size not in self._sizes:
            shape = (image_size, image_size)
            parts = [
                functional.interpolate(part, size=shape, mode="bilinear", antialias=True, align_corners=False)
                if part.device.type == "cpu"
                else functional.interpolate(part.float(), size=shape, mode="bilinear", antialias=True).round_().byte()
                for part in self.images.split(512)
            ]
            self._sizes[image_size] = DeviceData.from_tensors(
                torch.cat(parts), self.labels, self.classes, self.device, self.dataset, self.precision
            )
        return self._sizes[image_size]

    def masks(self, rows: Tensor) -> Tensor:
        """Lung masks of the given images, bool (n, 1, H, W) on the device; empty where there are none."""
        size = self.image_size
        if self.dataset is None:
            return torch.zeros(len(rows), 1, size, size, dtype=torch.bool, device=self.device)
        masks = torch.from_numpy(self.dataset.masks(rows.cpu().numpy()))[:, None]
        if masks.shape[-1] != size:
            masks = functional.interpolate(masks.float(), size=(size, size), mode="area") >= 0.5
        return masks.to(self.device, non_blocking=True)

    def gather(self, indices: Tensor) -> Tensor:
        """Images (n, 1, H, W), uint8 on the device; ``indices`` int64 (n,) lies where the images do."""
        if self.resident or self.device.type == "cpu":
            return self.images.index_select(0, indices)
        return self.images.index_select(0, indices.cpu()).pin_memory().to(self.device, non_blocking=True)


def usual_precision(device: torch.device) -> Precision:
    """bfloat16 on CUDA; float32 elsewhere, where it is the faster one for small networks, and exact."""
    return "bfloat16" if device.type == "cuda" else "float32"


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Autocast for bfloat16, which needs no scaling of gradients. Casts of weights are not cached: CUDA graphs forbid it."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether so many bytes of images may stay on the device; on the CPU always (they may be memory-mapped)."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= RESIDENT_SHARE * free


def lies_on(model: nn.Module, device: torch.device) -> bool:
    """Whether all of a model is there already: ``Module.to`` is no idle call, it gives recurrent layers new memory on CUDA."""
    places = {tensor.device for tensor in chain(model.parameters(), model.buffers())}
    return all(place.type == device.type and device.index in (None, place.index) for place in places)


def shared_tensor(images: NDArray[np.uint8]) -> Tensor:
    """A tensor over the array's own memory, which is only read: a memory-mapped file stays on disk until it is needed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(images))
