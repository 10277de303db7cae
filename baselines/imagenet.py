"""ImageNet weights: torchvision's own loading, from a local folder on machines without a network.

Published ``.pth`` files are pickles. They are read with torch's ``weights_only`` unpickler, which rebuilds tensors and
plain containers and refuses everything else, so that a doctored file cannot run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from baselines.layers import IMAGENET_MEAN, IMAGENET_STD, GreyClassifier
from baselines.torchvision_import import torchvision_models
from search_spaces.errors import InputError

Weights = Callable[[nn.Module, Path | None], str]
Rename = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


def torchvision_state(enum: str, member: str, folder: Path | None) -> tuple[Mapping[str, Tensor], str]:
    """State dict and file name of torchvision's ``enum.member`` (``"VGG19_Weights"``, ``"IMAGENET1K_V1"``).

    Args:
        folder: where the ``.pth`` file lies under torchvision's own name, or is fetched to; None: torch's cache.

    Raises:
        InputError: no such folder, or the file is absent and cannot be fetched, or is damaged; names the file and where to put it.
    """
    weights: Any = getattr(getattr(torchvision_models(), enum), member)
    name = weights.url.rsplit("/", 1)[-1]
    where = folder if folder is not None else Path(torch.hub.get_dir()) / "checkpoints"
    if folder is not None and not folder.is_dir():  # torch would make it
        raise InputError(
            f"there is no folder {folder} with ImageNet weights; name the one that {name} lies in, or shall be fetched to"
        )
    try:
        # hub's own default is the unpickler that runs code
        state = weights.get_state_dict(
            model_dir=str(where), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        return state, name
    except (URLError, OSError) as error:
        raise InputError(
            f"ImageNet weights {name} are not in {where} and cannot be fetched ({error}); "
            f"put the file from {weights.url} into a folder and pass --pretrained imagenet:FOLDER"
        ) from error
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise InputError(
            f"ImageNet weights {where / name} cannot be read: damaged, or more than plain tensors is in it; fetch it anew from {weights.url}"
        ) from error


def load_matching(module: nn.Module, state: Mapping[str, Tensor], name: str, *, fresh: tuple[str, ...]) -> int:
    """Copy ``state`` into ``module`` and return how many tensors were loaded; only keys under ``fresh`` may be left as built.

    Raises:
        InputError: another tensor is missing in the file or has another shape: the file is of another network.
    """
    own = module.state_dict()
    wanted = [key for key in own if not key.startswith(fresh) and not key.endswith("num_batches_tracked")]
    wrong = [key for key in wanted if key not in state or state[key].shape != own[key].shape]
    if wrong:
        raise InputError(f"weights {name} do not fit: {wrong[0]} is missing or of another shape ({len(wrong)} in all)")
    module.load_state_dict({key: state[key] for key in wanted}, strict=False)
    return len(wanted)


def from_torchvision(
    enum: str,
    member: str = "IMAGENET1K_V1",
    *,
    fresh: tuple[str, ...],
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    rename: Rename | None = None,
) -> Weights:
    """A baseline's ``weights`` for a torchvision network inside a ``GreyClassifier``.

    ``fresh``: prefixes of the new head, which stays as built; ``rename`` brings the names of an old file up to date.
    """

    def load(model: nn.Module, folder: Path | None) -> str:
        network = colour_network(model)
        state, name = torchvision_state(enum, member, folder)
        count = load_matching(network.net, state if rename is None else rename(state), name, fresh=fresh)
        network.input.standardise(mean, std)
        return f"{count} tensors of {name}"

    return load


def colour_network(model: nn.Module) -> GreyClassifier:
    """``model`` as a network that ImageNet weights can go into.

    Raises:
        InputError: it reads one channel, or is no network behind a grey input.
    """
    if not isinstance(model, GreyClassifier) or model.input.channels != 3:
        raise InputError("ImageNet weights need three input channels; build the baseline with in_channels=3")
    return model
