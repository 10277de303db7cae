"""Optimisers, learning rates and trainable parts, as a recipe declares them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from baselines.recipe import Recipe
from search_spaces.errors import InputError
from search_spaces.modules import stretch_lengths


def weighted_leaves(model: nn.Module) -> list[nn.Module]:
    """Modules that own parameters directly, in the order in which they are registered (input to output, by convention)."""
    return [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]


@contextmanager
def frozen(model: nn.Module, recipe: Recipe) -> Iterator[None]:
    """While this lasts only the recipe's trainable part learns: everything, the last layer, or the last ``trainable_layers``.

    Layers are counted over modules with a weight of two or more dimensions (convolutions, linear layers, LSTMs); the
    normalisation behind an unfrozen layer learns with it. What the network itself froze stays so, before, meanwhile and after.
    """
    held = _before_the_last(model, recipe) if recipe.trainable != "all" else []
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def _before_the_last(model: nn.Module, recipe: Recipe) -> list[nn.Parameter]:
    """The parameters that learn, but not under this recipe."""
    leaves = weighted_leaves(model)
    layers = [i for i, leaf in enumerate(leaves) if any(p.ndim > 1 for p in leaf.parameters(recurse=False))]
    wanted = 1 if recipe.trainable == "head" else recipe.trainable_layers
    if wanted < 1:
        raise InputError(f"trainable='last' needs trainable_layers of at least 1, but got {wanted}")
    before = leaves[: layers[-min(wanted, len(layers))]]
    return [parameter for leaf in before for parameter in leaf.parameters(recurse=False) if parameter.requires_grad]


def set_training(model: nn.Module) -> None:
    """Training mode, but frozen normalisation keeps its statistics: a fixed feature extractor must not drift."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.eval()


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict]:
    """Groups for the optimiser: by layer rate, and with or without weight decay (none on biases and normalisation).

    ``recipe.layer_rates`` cuts the layers, input to output, into as many runs of equal length; each group carries its
    factor as ``rate``. Wide linear layers and long stretches without a shortcut have factors of their own besides, see
    ``width_factor`` and ``depth_factor``.
    """
    rates = recipe.layer_rates or (1.0,)
    leaves = weighted_leaves(model)
    lengths = stretch_lengths(model)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for position, leaf in enumerate(leaves):
        rate = rates[position * len(rates) // len(leaves)]
        rate *= width_factor(leaf, recipe) * depth_factor(lengths.get(leaf, 0), recipe)
        for parameter in leaf.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise InputError("the model has no trainable parameters; check the recipe's trainable part")
    return [
        {"params": members, "weight_decay": recipe.weight_decay if decays else 0.0, "rate": rate}
        for (rate, decays), members in groups.items()
    ]


def width_factor(layer: nn.Module, recipe: Recipe) -> float:
    """Factor on the learning rate of a linear layer with more than ``recipe.linear_inputs`` inputs: their ratio (μP).

    A step of Adam or RMSprop moves every weight by about the learning rate, and behind a ReLU all inputs are positive: so
    all of them push an output the same way, by the rate times their number. On 1,500 inputs, a flattened head's, one step
    of 3e-3 moves it by several standard deviations, and hidden units die for good. Yang et al. 2021 (Tensor Programs V,
    table 3) let the rate fall with the number of inputs. Layers that are normalised behind do not need it.
    """
    if recipe.optimiser == "sgd" or not recipe.linear_inputs or not isinstance(layer, nn.Linear):
        return 1.0
    return min(1.0, recipe.linear_inputs / layer.in_features)


def depth_factor(steps: int, recipe: Recipe) -> float:
    """Factor on the learning rate of layers in a stretch of more than ``recipe.plain_depth`` steps without a shortcut: their ratio.

    A step of Adam or RMSprop changes every layer's weights by about the same share, and in a chain these changes add up
    towards the output: by the number of layers. At 3e-3 two networks of 51 such steps stayed at chance or learnt by the
    seed; of their trainings two at 0.333 and 0.353 balanced accuracy end at 0.619 and 0.808 with a ``plain_depth`` of 24.
    Rates that fall with the depth of a plain network are due to Jelassi et al. 2023 (for gradient descent, where the
    gradients grow with depth too, as its power −3/2).
    """
    if recipe.optimiser == "sgd" or not recipe.plain_depth:
        return 1.0
    return min(1.0, recipe.plain_depth / max(1, steps))


def make_optimiser(groups: Iterable[dict], recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused where torch has it; on CUDA its rate is a tensor, so that a captured graph can read it."""
    cuda = device.type == "cuda"
    rate: float | torch.Tensor = torch.tensor(recipe.learning_rate, device=device) if cuda else recipe.learning_rate
    parts = [{**group, "lr": rate.clone() if isinstance(rate, torch.Tensor) else rate} for group in groups]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parts, lr=rate, fused=True, capturable=cuda)
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parts, lr=rate, fused=True, capturable=cuda)
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parts, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)
    return torch.optim.RMSprop(parts, lr=rate, momentum=recipe.momentum, capturable=cuda, foreach=cuda)


def rate_factor(recipe: Recipe, step: int, steps: int, epoch: int) -> float:
    """Factor on the learning rate at ``step`` of ``steps`` (from 0), in ``epoch`` (from 0); "plateau" adds its own.

    The schedule runs over the recipe's whole length, also where a rung ends early.
    """
    if recipe.schedule == "one_cycle":  # Smith & Topin 2018: 30 % up from 1/25, then down to 1/10,000 (cosine)
        up = max(1, round(0.3 * steps))
        if step < up:
            return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * step / up)) / 2
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (step - up) / max(1, steps - up))) / 2
    warm = round(recipe.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if recipe.schedule == "cosine":
        return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
    if recipe.schedule == "step":
        return recipe.step_factor ** (epoch // recipe.step_epochs)
    return 1.0


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Write a learning rate into every group, times the group's own factor; tensors are filled in place, without a sync."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate * group["rate"])
        else:
            group["lr"] = rate * group["rate"]
