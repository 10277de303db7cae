"""What training starts from: weights as drawn, or a network that was trained on phantom radiographs first.

The phantom's three classes differ by drawn lesions only, so a pretrained network has seen nothing of the task's images or labels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from baselines.recipe import Recipe
from search_spaces.errors import ToolkitError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.data import Dataset
    from nas.evaluation.device import Precision
    from nas.evaluation.trainer import OnEpoch

PHANTOM_IMAGES = 2_000
PHANTOM_EPOCHS = 8


def pretrain(
    model: nn.Module,
    classes: int,
    image_size: int,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    checkpoint: Path,
    on_epoch: OnEpoch | None = None,
) -> None:
    """Give ``model`` the trunk of its own twin, trained on the phantom; its last layer stays as drawn.

    Args:
        classes: of the task; the phantom shows at most three.
        checkpoint: a file that an interrupted pretraining goes on from; gone afterwards.
    """
    twin = copy.deepcopy(model)
    copy_trunk(
        phantom_state(twin, classes, image_size, recipe, seed=seed, device=device, checkpoint=checkpoint, on_epoch=on_epoch),
        model,
    )


def phantom_state(
    model: nn.Module,
    classes: int,
    image_size: int,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    checkpoint: Path,
    precision: Precision | None = None,
    on_epoch: OnEpoch | None = None,
) -> Mapping[str, Tensor]:
    """Train ``model`` on 2,000 phantom images for 8 epochs of ``recipe``; returns its weights."""
    from nas.evaluation.checkpoint import remove_checkpoint
    from nas.evaluation.device import DeviceData
    from nas.evaluation.trainer import train

    data = _phantom(seed % 2**31, max(2, min(3, classes)), image_size)
    rows = np.arange(len(data))
    whole = recipe.model_copy(update={"epochs": PHANTOM_EPOCHS, "early_stopping": 0})
    train(
        model, DeviceData(data, device, precision), rows, rows[:0], whole, seed=seed, checkpoint=checkpoint, on_epoch=on_epoch
    )
    remove_checkpoint(checkpoint)
    return model.state_dict()


@lru_cache(maxsize=1)
def _phantom(seed: int, classes: int, image_size: int) -> Dataset:
    from nas.data import load

    names = ("normal", "pneumonia", "covid")[:classes]
    return load(f"phantom:n={PHANTOM_IMAGES},seed={seed}", classes=names, image_size=image_size)


def copy_trunk(state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Copy every tensor that has the same name and shape, but the last layer's, which learns the task's own classes."""
    from baselines.layers import last_layer

    own = model.state_dict(keep_vars=True)
    last = {id(tensor) for tensor in last_layer(model).state_dict(keep_vars=True).values()}
    fitting = {
        key: state[key]
        for key, tensor in own.items()
        if key in state and id(tensor) not in last and state[key].shape == tensor.shape
    }
    if not fitting:
        raise ToolkitError("the pretrained weights fit no layer of this network; delete its pretraining file and resume")
    model.load_state_dict(fitting, strict=False)
