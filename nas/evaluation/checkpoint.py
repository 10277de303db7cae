"""A training's state in one safetensors file, written whole or not at all: an interrupted training continues from it.

Weights and optimiser tensors are the file's tensors; everything else is JSON in its header. Random numbers need no state:
each epoch's generator is derived from the seed and the epoch's number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.files import write_bytes
from search_spaces.errors import InputError

FORMAT = "pepx-nas training 1"


def checkpoint_file(path: Path) -> Path:
    """The file behind a checkpoint's name (``.safetensors`` is added where it lacks a suffix)."""
    return path if path.suffix else path.with_suffix(".safetensors")


def save_checkpoint(path: Path, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write named groups of tensors and a JSON-able state."""
    tensors = {
        f"{group}/{name}": t.detach().cpu().contiguous() for group, members in groups.items() for name, t in members.items()
    }
    write_bytes(checkpoint_file(path), save(tensors, {"format": FORMAT, "state": json.dumps(state, allow_nan=False)}))


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Groups of tensors and state, or ``None`` where there is no file.

    Raises:
        InputError: the file is damaged or of another kind.
    """
    file = checkpoint_file(path)
    if not file.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(file, framework="pt") as stored:
            header = stored.metadata() or {}
            for key in stored.keys():  # noqa: SIM118 (safe_open is no mapping)
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = stored.get_tensor(key)
        if header.get("format") != FORMAT:
            raise InputError(f"{file} is no checkpoint of a training; delete it to train anew")
        return groups, json.loads(header["state"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}); delete it to train anew") from error


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's per-parameter tensors, named ``index.name``."""
    found = {}
    for index, parameter in enumerate(_parameters(optimiser)):
        for name, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{index}.{name}"] = value
    return found


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of :func:`optimiser_tensors` back, each on its parameter's device (a scalar where it was)."""
    parameters = _parameters(optimiser)
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            copy = torch.empty_like(parameter).copy_(value)  # keeps the parameter's memory layout
        else:
            copy = value.to(parameter.device)
        optimiser.state[parameter][name] = copy


def _parameters(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
