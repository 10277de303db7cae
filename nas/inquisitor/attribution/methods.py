"""Attribution maps behind one interface: signed, in log-odds, never rescaled. Captum does the mathematics.

A map says how much each pixel speaks for (+) or against (−) the class. Maps raise suspicions; they acquit nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from captum.attr import GradientShap, IntegratedGradients, LayerGradCam
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nas.edits import get_fill
from nas.evaluation.predict import evaluating
from nas.inquisitor.engine import Engine, to_float
from search_spaces.errors import ToolkitError, first_line
from search_spaces.registry import Registry

IG_STEPS = 24
SHAP_SAMPLES = 16


class UnavailableError(ToolkitError):
    """A method cannot be applied to this model (no gradients, no convolution); the message says why."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of some images by one method.

    Attributes:
        values: float32 (n, H, W), signed, in log-odds of the target class.
        gap: float32 (n,), what the map should sum to (log-odds of the image − of its baseline); ``None`` where the method
            promises no sum.
    """

    method: str
    values: Tensor
    gap: Tensor | None = None


Method = Callable[[Engine, Tensor, Tensor], Maps]
"""From an engine, images float (n, 1, H, W) and target classes int64 (n,) to maps."""

METHODS: Registry[Method] = Registry(
    "attribution method", "pepx_nas.attributions", lambda: import_module("nas.inquisitor.attribution.occlusion")
)


def maps_by(name: str, engine: Engine, images: Tensor, targets: Tensor, seed: int) -> Maps:
    """Maps by the method of that name; the same for the same seed.

    What it draws from numpy's and torch's global streams, as Captum does, is seeded, and the streams are put back as they were.
    """
    kept = np.random.get_state()
    with torch.random.fork_rng([engine.device] if engine.device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            return METHODS.get(name)(engine, images, targets)
        finally:
            np.random.set_state(kept)


def log_odds(model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The model's one-vs-rest log-odds (n, classes), differentiable."""

    def forward(images: Tensor) -> Tensor:
        logits = model(images).float()
        columns = range(logits.shape[1])
        rest = [torch.logsumexp(logits[:, [k for k in columns if k != index]], dim=1) for index in columns]
        return logits - torch.stack(rest, dim=1)

    return forward


def baselines(images: Tensor) -> Tensor:
    """Reference pictures: each image with nothing left but its broad shading."""
    everywhere = torch.ones_like(images, dtype=torch.bool)
    return get_fill("blur")(images, everywhere, torch.Generator())


@contextmanager
def _gradients(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients on, and parameters that gather none; both put back afterwards.

    Raises:
        UnavailableError: torch cannot compute the gradients: in-place operations, graphs that were detached.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    recurrent = any(
        isinstance(module, nn.RNNBase) for module in model.modules()
    )  # cuDNN has gradients of these in training only
    with (
        evaluating(model),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext(),
    ):
        try:
            yield
        except RuntimeError as error:
            raise UnavailableError(f"gradients cannot be computed on this model: {first_line(error)}") from error
        finally:
            for parameter, flag in wanted:
                parameter.requires_grad_(flag)


def _batched(engine: Engine, images: Tensor, targets: Tensor, one: Callable[[Tensor, Tensor], Tensor], factor: int) -> Tensor:
    """Run ``one`` over batches that, ``factor`` times enlarged, still fit the engine's bound."""
    size = max(1, engine.batch_size(images.shape[-1]) // factor)
    with _gradients(engine.model):
        parts = [
            one(images[k : k + size].clone().requires_grad_(True), targets[k : k + size]).detach().float()
            for k in range(0, len(images), size)
        ]
    engine.passes += 3 * factor * len(images)  # forward and backward
    return torch.cat(parts)


def _gap(engine: Engine, images: Tensor, targets: Tensor) -> Tensor:
    """Log-odds of images minus those of their baselines, (n,)."""
    with evaluating(engine.model), torch.no_grad():
        forward = log_odds(engine.model)
        size = engine.batch_size(images.shape[-1])
        parts = [
            (forward(some) - forward(baselines(some))).gather(1, targets[k : k + size, None])[:, 0]
            for k in range(0, len(images), size)
            for some in [images[k : k + size]]
        ]
    return torch.cat(parts)


@METHODS.register("integrated_gradients")
def integrated_gradients(engine: Engine, images: Tensor, targets: Tensor) -> Maps:
    """Sundararajan et al. 2017, from the blurred image to the image."""
    method = IntegratedGradients(log_odds(engine.model))

    def one(some: Tensor, target: Tensor) -> Tensor:
        found = method.attribute(
            some, baselines=baselines(some.detach()), target=target, n_steps=IG_STEPS, method="gausslegendre"
        )
        return found.sum(dim=1)

    return Maps("integrated_gradients", _batched(engine, images, targets, one, IG_STEPS), _gap(engine, images, targets))


@METHODS.register("gradient_shap")
def gradient_shap(engine: Engine, images: Tensor, targets: Tensor) -> Maps:
    """Expected gradients (Lundberg & Lee 2017; Erion et al. 2021) from blurred references, with noise on the input."""
    method = GradientShap(log_odds(engine.model))

    def one(some: Tensor, target: Tensor) -> Tensor:
        reference = baselines(some.detach())
        return method.attribute(some, baselines=reference, target=target, n_samples=SHAP_SAMPLES, stdevs=0.02).sum(dim=1)

    return Maps("gradient_shap", _batched(engine, images, targets, one, SHAP_SAMPLES))


@METHODS.register("grad_cam")
def grad_cam(engine: Engine, images: Tensor, targets: Tensor) -> Maps:
    """Selvaraju et al. 2017 on the last convolution with a map, without its usual ReLU and rescaling."""
    layer = last_map(engine, images[:1])
    method = LayerGradCam(log_odds(engine.model), layer)

    def one(some: Tensor, target: Tensor) -> Tensor:
        coarse = method.attribute(some, target=target, relu_attributions=False, attr_dim_summation=True)
        return interpolate(coarse, size=some.shape[-2:], mode="bilinear", align_corners=False)[:, 0]

    return Maps("grad_cam", _batched(engine, images, targets, one, 1))


def last_map(engine: Engine, image: Tensor) -> nn.Module:
    """The last convolution, in order of execution, whose response still has more than one position."""
    seen: list[nn.Module] = []

    def listen(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[-1] > 1:
            seen.append(module)

    handles = [module.register_forward_hook(listen) for module in engine.model.modules() if isinstance(module, nn.Conv2d)]
    try:
        with evaluating(engine.model), torch.no_grad():
            engine.model(image)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise UnavailableError("grad_cam needs a convolution with a map, and this model shows none")
    return seen[-1]


def differentiable(engine: Engine, image: Tensor) -> bool:
    """Whether gradients reach the input: they do not in exported models, behind a backbone without gradients, nor in rules by hand."""
    given = to_float(image).clone().requires_grad_(True)
    try:
        with _gradients(engine.model):
            output = engine.model(given)
            return output.requires_grad and torch.autograd.grad(output.sum(), given, allow_unused=True)[0] is not None
    except UnavailableError:  # a wrapper that hands arrays to another runtime refuses inputs that ask for gradients
        return False
