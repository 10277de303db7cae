"""Zero-cost proxies: what an untrained network reveals in one or two passes. Features for a surrogate, never a verdict.

Inside one FLOP budget their correlation with trained quality is well below what was published over whole spaces, so nothing
here ranks networks by itself: the generator learns the weight that each deserves, which may be none.

* ``synflow`` (Tanaka et al., NeurIPS 2020): log Σ |θ · ∂R/∂θ| with R the summed output for an input of ones, all parameters
  replaced by their magnitude, normalisation layers removed, in double precision (values overflow single precision in deep
  networks).
* ``naswot`` (Mellor et al., ICML 2021): log-determinant of the kernel of agreement between the activation patterns of a batch,
  divided by the number of images. Agreement is the share of activations that agree; the paper's number of them adds the
  logarithm of how many there are, by which wider networks score higher.
* ``grad_norm`` (Abdelfattah et al., ICLR 2021): log of the summed norms of the gradients of one batch's cross-entropy.
* ``parameters``: log of their number.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from search_spaces import Architecture
    from search_spaces.space import SearchSpace

NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)


def synflow(model: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Logarithm of the synaptic flow through ``model``, which is left as it was.

    Args:
        input_shape: of one input without the batch, (channels, height, width).
    """
    linear = _without_normalisation(deepcopy(model)).double().eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    flow = linear(torch.ones(1, *input_shape, dtype=torch.float64)).sum()
    trained = [parameter for parameter in linear.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(flow, trained, allow_unused=True)
    total = sum(float((p * g).detach().abs().sum()) for p, g in zip(trained, gradients, strict=True) if g is not None)
    return _log(total)


def naswot(model: nn.Module, images: Tensor) -> float | None:
    """Log-determinant per image of the agreement of activation patterns; ``None`` where no activation module can be seen.

    Args:
        images: float (n, 1, h, w) in [0, 1]; n of about 32.
    """
    n = len(images)
    kernel = torch.zeros(n, n, dtype=torch.float64)
    seen = 0

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal seen
        active = (inputs[0].reshape(n, -1) > 0).double()
        kernel.add_(active @ active.T + (1 - active) @ (1 - active).T)
        seen += active.shape[1]

    copied = deepcopy(model).train()  # batch statistics: running ones mean nothing before training
    for module in copied.modules():
        if getattr(module, "inplace", False):  # the hook must see the input, not what has overwritten it
            module.inplace = False  # type: ignore[assignment]  # a plain attribute of activation modules
        if isinstance(module, ACTIVATIONS):
            module.register_forward_hook(watch)
    with torch.no_grad():
        copied(images)
    if not seen:
        return None
    shares = kernel / seen + 1e-6 * torch.eye(n, dtype=torch.float64)  # identical images would make it singular
    return float(torch.linalg.slogdet(shares).logabsdet) / n


def grad_norm(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the sum over parameters of the norms of the gradients of one batch's cross-entropy."""
    copied = deepcopy(model).train()
    functional.cross_entropy(copied(images), labels).backward()
    return _log(sum(float(p.grad.norm()) for p in copied.parameters() if p.grad is not None))


def proxies(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """All proxies of one untrained network by name; a proxy that cannot be computed is left out.

    Args:
        images: float (n, channels, h, w) in [0, 1].
        labels: int64 (n,).
    """
    found = {
        "synflow": synflow(model, tuple(images.shape[1:])),
        "naswot": naswot(model, images),
        "grad_norm": grad_norm(model, images, labels),
        "parameters": _log(sum(p.numel() for p in model.parameters() if p.requires_grad)),
    }
    return {name: value for name, value in found.items() if value is not None}


def proxy_function(
    space: SearchSpace, images: Tensor, labels: Tensor, image_size: int, seed: int = 0
) -> Callable[[Architecture], dict[str, float]]:
    """A function from an architecture to its proxies, for ``GeneratorSampler(proxies=…)``; it remembers its answers.

    Every network's weights come from the same seed; torch's global generator is left as it was.
    """
    known: dict[str, dict[str, float]] = {}

    def compute(architecture: Architecture) -> dict[str, float]:
        if architecture.key not in known:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(seed)
                known[architecture.key] = proxies(space.build(architecture, image_size), images, labels)
        return known[architecture.key]

    return compute


def _without_normalisation(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, nn.Identity() if isinstance(child, NORMALISATIONS) else _without_normalisation(child))
    return module


def _log(value: float) -> float:
    return log(value + 1e-12)
