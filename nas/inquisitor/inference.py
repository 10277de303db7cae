"""A copy of a network that gives the same answers sooner, for the thousands of edited images of an audit on a CPU.

In evaluation mode a batch normalisation scales and shifts each channel by constants, which the convolution before it can do
itself (Jacob et al., CVPR 2018, section 3.2); and convolutions are faster on channels-last weights. The network itself is left as it is.
"""

from __future__ import annotations

import copy
import pickle
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-5  # of the largest logit: what reordered float32 sums differ by at most, and nothing else does


def replica(model: nn.Module) -> nn.Module | None:
    """A copy of the modules that shares all parameters and buffers: what a module notes in passing stays within one thread."""
    return duplicate(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


def duplicate(model: nn.Module, shared: dict[int, Tensor] | None = None) -> nn.Module | None:
    """A deep copy with the ``shared`` tensors, by their ids, in both; None where a model cannot be copied, such as an ONNX session."""
    try:
        return copy.deepcopy(model, shared)
    except (TypeError, RuntimeError, AttributeError, pickle.PickleError):
        return None


def for_inference(model: nn.Module) -> nn.Module | None:
    """A faster copy of a model in evaluation mode; None where there is nothing to gain, or hooks want to see every part.

    A normalisation is folded where a plain ``nn.Sequential`` has it right behind its convolution. A model may call the parts
    of a Sequential one by one, and see the difference: whoever uses the copy asks ``agree`` first.
    """
    parts = list(model.modules())
    if not any(type(part) is nn.Conv2d for part in parts) or any(
        part._forward_hooks or part._forward_pre_hooks for part in parts
    ):
        return None
    faster = replica(model)
    if faster is None:
        return None
    for module in list(faster.modules()):
        children = module._modules
        if type(module).forward is nn.Sequential.forward:
            for first, second in pairwise(list(children)):
                convolution, norm = children[first], children[second]
                if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
                    children[first], children[second] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        for name, child in children.items():
            if type(child) is nn.Conv2d:
                children[name] = _channels_last(child)
    return faster.eval()


def _channels_last(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution on weights of its own, laid out anew: the shared ones are the model's."""
    own = copy.copy(convolution)
    own._parameters = dict(convolution._parameters)
    weight = convolution.weight.detach().to(memory_format=torch.channels_last)  # ``contiguous`` leaves 1 × 1 kernels' strides
    own._parameters["weight"] = nn.Parameter(weight, requires_grad=False)
    return own


def agree(first: Tensor, second: Tensor) -> bool:
    """Whether two tables of logits (n, classes) are the same up to the order of summation; never where one is no number."""
    return first.shape == second.shape and bool((first - second).abs().max() <= TOLERANCE * first.abs().max().clamp(min=1.0))
