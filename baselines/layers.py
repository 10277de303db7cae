"""What several baselines share: the grey input, the classifier around a torchvision network, its last layer and features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from search_spaces.errors import ToolkitError

T = TypeVar("T")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class GreyInput(nn.Module):
    """Replicates a grey image to the network's channels and standardises it where pretrained weights ask for that.

    (N, 1, H, W) → (N, channels, H, W). ``mean`` and ``std`` are buffers (0 and 1 until weights are loaded), so that a
    saved network carries the standardisation that its weights were trained with.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def standardise(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Use these per-channel values from now on."""
        self.mean.copy_(torch.tensor(mean).view(-1, 1, 1))
        self.std.copy_(torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images.expand(-1, self.channels, -1, -1) - self.mean) / self.std


class GreyClassifier(nn.Module):
    """A network behind a grey input: ``net`` maps (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.input = GreyInput(channels)
        self.net = net
        for module in net.modules():  # activations that overwrite their input mislead attribution methods
            if getattr(module, "inplace", False):
                vars(module).update(inplace=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.input(images))


def conv_to(channels: int, conv: nn.Conv2d) -> nn.Conv2d:
    """``conv`` itself where it reads ``channels`` already, else a fresh one of the same shape that does."""
    if conv.in_channels == channels:
        return conv
    return nn.Conv2d(
        channels,
        conv.out_channels,
        kernel_size=(conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        padding=conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
        bias=conv.bias is not None,
    )


def he_initialise(layers: nn.Module) -> None:
    """He's initialisation of every convolution: the library's default shrinks the signal of many plain ones to nothing."""
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def last_layer(model: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer that makes the logits: by convention of this package, the last linear layer or convolution registered."""
    found: nn.Linear | nn.Conv2d | None = None
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            found = module
    if found is None:
        raise ToolkitError(f"{type(model).__name__} has no linear layer or convolution; it makes no logits")
    return found


def penultimate_features(model: nn.Module, images: Tensor) -> Tensor:
    """What the last layer reads, float (N, features), for float images (N, 1, H, W); maps are averaged over their positions."""
    caught: list[Tensor] = []
    handle = last_layer(model).register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            model(images)
    finally:
        handle.remove()
    features = caught[0]
    return features.mean(dim=(2, 3)) if features.dim() == 4 else features


def seeded(seed: int, make: Callable[[], T]) -> T:
    """``make()`` under a seed of its own; the caller's random streams are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which would reseed CUDA too
        return make()
