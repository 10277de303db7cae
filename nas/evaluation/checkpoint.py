"""A training's state in one safetensors file, written whole or not at all: an interrupted training continues from it, or from
the one before where it is damaged.

Weights and optimiser tensors are the file's tensors; everything else is JSON in its header. Random numbers need no state:
each epoch's generator is derived from the seed and the epoch's number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.files import WriteError, write_bytes
from search_spaces.errors import InputError

FORMAT = "pepx-nas training 1"
Checkpoint = tuple[dict[str, dict[str, Tensor]], dict[str, Any]]  # groups of tensors, and the state
_log = logging.getLogger(__name__)


class DamagedError(InputError):
    """A checkpoint whose bytes are not those that were written."""


def checkpoint_file(path: Path) -> Path:
    """The file behind a checkpoint's name (``.safetensors`` is added where it lacks a suffix)."""
    return path if path.suffix else path.with_suffix(".safetensors")


def previous_file(path: Path) -> Path:
    """The checkpoint before the last one, kept in case that the last one is damaged."""
    file = checkpoint_file(path)
    return file.with_name(f"{file.stem}.previous{file.suffix}")


def save_checkpoint(path: Path, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write named groups of tensors and a JSON-able state; the checkpoint before stays beside it."""
    tensors = {
        f"{group}/{name}": t.detach().cpu().contiguous() for group, members in groups.items() for name, t in members.items()
    }
    text = json.dumps(state, allow_nan=False)
    content = save(tensors, {"format": FORMAT, "state": text, "sha256": _digest(tensors, text)})
    file = checkpoint_file(path)
    if file.exists():
        try:
            os.replace(file, previous_file(path))
        except OSError as error:
            raise WriteError(f"cannot rename {file}: {error.strerror or error}; mend that, then go on with --resume") from error
    write_bytes(file, content)


def remove_checkpoint(path: Path) -> None:
    """Both generations go: the training is over."""
    checkpoint_file(path).unlink(missing_ok=True)
    previous_file(path).unlink(missing_ok=True)


def recover_checkpoint(path: Path) -> Checkpoint | None:
    """What a training continues from: a damaged checkpoint makes way for the one before; ``None``, without a good one: it starts anew."""
    file, previous = checkpoint_file(path), previous_file(path)
    for candidate in (file, previous):
        try:
            found = load_checkpoint(candidate)
        except DamagedError as error:
            _log.warning("%s; the training falls back to what was before it", error)
            candidate.unlink()
            continue
        if found is not None:
            if candidate != file:
                os.replace(candidate, file)
            return found
    return None


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Groups of tensors and state, or ``None`` where there is no file.

    Raises:
        DamagedError: the file is damaged.
        InputError: it is of another kind.
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
        whole = {f"{group}/{name}": t for group, members in groups.items() for name, t in members.items()}
        if header["sha256"] != _digest(whole, header["state"]):
            raise DamagedError(f"{file} is damaged (its content differs from its checksum)")
        return groups, json.loads(header["state"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedError(f"{file} is damaged ({error})") from error


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
