"""Statistics of batch normalisation, estimated anew before a network is validated.

The running averages that training leaves behind lag behind the weights (a short training has a few dozen steps) and come from augmented,
class-balanced batches; validation sees clean images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nas.evaluation.device import DeviceData, mixed_precision

IMAGES = 128  # clean training images that the statistics come from: 64 to 256 ended within 0.01 of log-loss of one another
BATCH = 64


def normalisation_layers(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Batch normalisation that keeps running statistics and is not frozen."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
        and (not module.affine or any(p.requires_grad for p in module.parameters(recurse=False)))
    ]


def reestimate(model: nn.Module, data: DeviceData, rows: torch.Tensor) -> None:
    """Replace running statistics by averages over clean images; everything else behaves as in evaluation.

    Args:
        rows: which images, int64 (n,) on the device.
    """
    layers = normalisation_layers(model)
    if not layers or len(rows) < 2:
        return
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
    try:
        with torch.no_grad(), mixed_precision(data.device, data.precision):
            for number, part in enumerate(even_parts(rows)):
                _set_momentum(layers, [1 / (number + 1)] * len(layers))  # the plain average of the batches
                model(data.gather(part).float().div_(255))
    finally:
        _set_momentum(layers, momenta)


def even_parts(rows: torch.Tensor) -> Sequence[torch.Tensor]:
    """Batches of about equal size, so that each weighs the same."""
    return torch.tensor_split(rows, max(1, round(len(rows) / BATCH)))


def _set_momentum(layers: Sequence[nn.modules.batchnorm._BatchNorm], momenta: Sequence[float | None]) -> None:
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
