"""Builds a network from the blocks that its cost was counted on. Every module is used once and nothing works in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from search_spaces.operations import Block, Operation, Operations, expanded

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}


class Subsample(nn.Module):
    """Every ``stride``-th pixel: a max-pooling of size 1. (n, c, s, s) → (n, c, ⌈s/stride⌉, ⌈s/stride⌉)"""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride]

    def extra_repr(self) -> str:
        return str(self.stride)


class Replicate(nn.Module):
    """The replicator of COVID-Net CXR-2's PRPE blocks: all channels ``times`` over. (n, c, s, s) → (n, c·times, s, s)"""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(1, self.times, 1, 1)

    def extra_repr(self) -> str:
        return str(self.times)


class SqueezeExcitation(nn.Module):
    """Each channel scaled by a gate computed from all channels' means (Hu et al. 2018). (n, c, s, s) → (n, c, s, s)"""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Linear(channels, hidden)
        self.act = nn.ReLU()
        self.excite = nn.Linear(hidden, channels)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.excite(self.act(self.squeeze(self.pool(x).flatten(1)))))
        return x * gate[:, :, None, None]


class Fork(nn.Module):
    """Two chains on the same input, joined along the channels. (n, c, s, s) → (n, c₁ + c₂, s', s')"""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x)], dim=1)


class Residual(nn.Module):
    """``branch(x) + shortcut(x)``: one step of the running sum that carries the long-range connections."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return y + self.shortcut(x)


class Network(nn.Module):
    """The blocks one after another, registered under their dotted names (``stem``, ``stage1.block2``, ``head``).

    Input: float (n, 1, s, s) in [0, 1]; with several ``in_channels`` grey is replicated inside. Output: logits (n, classes).
    """

    def __init__(self, blocks: Sequence[Block], in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.block_names = tuple(block.name for block in blocks)
        for block in blocks:
            parent: nn.Module = self
            *path, leaf = block.name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(leaf, _block(block))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.in_channels:
            x = x.repeat(1, self.in_channels, 1, 1)
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        return x


def _block(block: Block) -> nn.Module:
    branch = _chain(block.branch)
    return branch if block.shortcut is None else Residual(branch, _chain(block.shortcut))


def _chain(operations: Operations) -> nn.Module:
    return nn.Sequential(*(_module(simple) for operation in operations for simple in expanded(operation)))


def _module(operation: Operation) -> nn.Module:
    match operation:
        case ("conv", inputs, outputs, kernel, stride, groups, bias):
            return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        case ("norm", channels):
            return nn.BatchNorm2d(channels)
        case ("act", name):
            return _ACTIVATIONS[name]()
        case ("maxpool", kernel, stride, padding):
            return nn.MaxPool2d(kernel, stride, padding)
        case ("subsample", stride):
            return Subsample(stride) if stride > 1 else nn.Identity()
        case ("replicate", times):
            return Replicate(times)
        case ("se", channels, hidden):
            return SqueezeExcitation(channels, hidden)
        case ("gap",):
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case ("flatten",):
            return nn.Flatten()
        case ("linear", inputs, outputs, bias):
            return nn.Linear(inputs, outputs, bias)
        case ("fork", first, second):
            return Fork(_chain(first), _chain(second))
    raise ValueError(f"operation {operation!r} is of no known kind")


_BRANCH_START = 0.2
"""Factor on the last convolution of a residual branch: a network that starts near its shortcuts learns sooner (Goyal et al.
2017 start at 0, which would hide the branch from proxies that look at untrained networks). Five PEPX networks after 225 steps:
log-loss 0.941 instead of 0.970."""


_GROWTH = 100.0
"""By how much the variance of gradients may grow over the steps of batch normalisation and ReLU between two shortcuts."""


def _initialise(network: Network) -> None:
    """He initialisation; small weights where residual branches end, so that training starts near the shortcuts, and in the last
    layer, so that it starts near equal odds; and what keeps long stretches without a shortcut trainable (``_calm``)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    head = network.get_submodule(network.block_names[-1])
    layers = [part for part in head.modules() if isinstance(part, nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer is layers[-1]:
            nn.init.normal_(layer.weight, std=0.01)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in network.modules():
        if isinstance(block, Residual):
            *_, end = (part for part in block.branch.modules() if isinstance(part, nn.Conv2d))
            with torch.no_grad():
                end.weight.mul_(_BRANCH_START)
    for stretch in _stretches(network):
        _calm([norm for part in stretch for norm in _before_relu(part)])


def _stretches(network: Network) -> list[list[nn.Module]]:
    """What lies between two shortcuts, in order: runs of blocks that have none, and each residual block's branch."""
    runs: list[list[nn.Module]] = [[]]
    for block in map(network.get_submodule, network.block_names):
        if isinstance(block, Residual):
            runs += [[block.branch], []]
        else:
            runs[-1].append(block)
    return runs


def stretch_lengths(model: nn.Module) -> dict[nn.Module, int]:
    """How many steps of batch normalisation and ReLU lie in the stretch that each module is part of.

    A stretch is what lies between two shortcuts. Modules that belong to no ``Network`` within the model, and those that
    only hold others, are left out.
    """
    lengths: dict[nn.Module, int] = {}
    for network in model.modules():
        for stretch in _stretches(network) if isinstance(network, Network) else ():
            steps = sum(len(_before_relu(part)) for part in stretch)
            lengths |= {layer: steps for part in stretch for layer in part.modules() if not list(layer.children())}
    return lengths


def _before_relu(module: nn.Module) -> list[nn.BatchNorm2d]:
    """The normalisations whose output goes through a ReLU, in order."""
    parts = [part for part in module.modules() if not list(part.children())]
    return [one for one, after in pairwise(parts) if isinstance(one, nn.BatchNorm2d) and isinstance(after, nn.ReLU)]


def _calm(stretch: Sequence[nn.BatchNorm2d]) -> None:
    """Shift the inputs of a stretch's ReLUs upwards, so far that gradients grow by no more than ``_GROWTH`` over all of it.

    Behind batch normalisation each ReLU multiplies the variance of the gradient by π/(π−1) = 1.47 (Yang et al. 2019): over
    the 40 steps of eight PEPX blocks without long-range connections by millions, and such networks stay at chance. A ReLU
    whose inputs lie above zero is closer to linear, and multiplies it by less. Of 60 random networks of 8 MFLOPs, 23 stayed at
    chance without the shift and 3 do with it (``tests/performance/results/initialisation.json``).
    """
    shift = _shift(len(stretch))
    for norm in stretch:
        nn.init.constant_(norm.bias, shift)


@lru_cache
def _shift(steps: int) -> float:
    """The smallest shift of standard normal inputs at which so many steps keep to ``_GROWTH``."""
    low, high = 0.0, 8.0
    if gradient_gain(low) ** steps <= _GROWTH:
        return 0.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if gradient_gain(middle) ** steps <= _GROWTH else (middle, high)
    return high


def gradient_gain(shift: float) -> float:
    """By how much a ReLU of normal inputs of this mean and variance 1, with what normalises its output, multiplies a gradient's variance.

    E[relu'(x)²] ÷ Var[relu(x)].
    """
    density, above = math.exp(-(shift**2) / 2) / math.sqrt(2 * math.pi), (1 + math.erf(shift / math.sqrt(2))) / 2
    mean = density + shift * above
    return above / ((1 + shift**2) * above + shift * density - mean**2)
