"""Logits of a trained network for any number of images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.evaluation.device import DeviceData, lies_on, mixed_precision, shared_tensor
from nas.evaluation.errors import is_out_of_memory

CPU_BATCH = 32  # larger batches leave the cache: measured no faster from 32 on
CUDA_BATCH = 1024


def predict_logits(
    model: nn.Module,
    images: NDArray[np.uint8] | DeviceData,
    device: str | torch.device | None = None,
    *,
    indices: NDArray[np.int64] | None = None,
    batch: int | None = None,
) -> NDArray[np.float32]:
    """Logits in evaluation mode.

    Args:
        model: float (n, 1, H, W) in [0, 1] → logits (n, classes); its mode is restored.
        images: uint8 (n, 1, H, W), or images already on the device.
        device: where to compute, for images that are an array: the CPU by default. The model is moved there.
        indices: which of the images; all by default.
        batch: images at a time; a default for the device, halved while it does not fit into memory.

    Returns:
        float32 (n, classes).
    """
    if isinstance(images, DeviceData):
        data = images
    else:
        data = DeviceData.from_tensors(shared_tensor(images), torch.zeros(len(images), dtype=torch.int64), 0, device or "cpu")
    wanted = np.arange(len(data)) if indices is None else np.asarray(indices, dtype=np.int64)
    chosen = torch.from_numpy(wanted).to(data.device)
    size = batch or (CPU_BATCH if data.device.type == "cpu" else CUDA_BATCH)
    if not lies_on(model, data.device):
        model.to(data.device)
    with evaluating(model), torch.inference_mode():
        return _in_batches(model, data, chosen, size)


def in_evaluation_mode(model: nn.Module) -> nn.Module:
    """The model itself, every part of it in evaluation mode.

    Programs of torch.export refuse to be told so, by themselves or within another module: they stay in the mode that they were
    exported in, and only what is around them changes.
    """
    try:
        model.eval()
    except NotImplementedError:
        for module in model.modules():
            module.training = False
    return model


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode; every module's own mode is put back afterwards, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    in_evaluation_mode(model)
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training


def _in_batches(model: nn.Module, data: DeviceData, chosen: torch.Tensor, size: int) -> NDArray[np.float32]:
    parts, start = [], 0
    while start < len(chosen):
        try:
            with mixed_precision(data.device, data.precision):
                logits = model(data.gather(chosen[start : start + size]).float().div_(255))
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size = max(1, size // 2)
            continue
        parts.append(logits.float())
        start += size
    return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 0), dtype=np.float32)
