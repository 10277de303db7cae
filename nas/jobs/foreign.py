"""Foreign networks as an audit calls them, float (n, 1, H, W) in [0, 1] to logits, and tried before anything is asked of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.evaluation import LoadedModel
from nas.evaluation.predict import evaluating
from search_spaces.errors import InputError

_FLOATS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}
_SUM = 2e-3  # by which float16 probabilities may miss 1


class GreyAdapter(nn.Module):
    """A foreign module behind an interface of one grey channel: replicated, then normalised.

    Args:
        channels: how many the module wants. mean, std: one number, or one a channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: nn.Module, channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.module, self.channels = module, channels
        self.forward_only = getattr(module, "forward_only", False)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        kinds = [f"{type(part).__module__}.{type(part).__qualname__}" for part in module.modules()]
        self.register_buffer("kinds", _digest(map(str.encode, kinds)))  # part of the state: all that some models have

    def forward(self, images: Tensor) -> Tensor:
        """Whatever the module answers to images float (n, 1, H, W)."""
        return self.module((images.expand(-1, self.channels, -1, -1) - self.mean) / self.std)


class OnnxModel(nn.Module):
    """A session of onnxruntime as a module for forward passes (no gradients).

    A file whose batch size is fixed gets batches of that size, the last one filled up; images are cast to its input's type.

    Args:
        files: what it was read from, the model first; the hash of their bytes is the module's state.

    Raises:
        InputError: it takes anything but one tensor of floats.
    """

    forward_only = True

    def __init__(self, session: Any, files: Sequence[Path]) -> None:
        super().__init__()
        entries = session.get_inputs()
        if [entry.type in _FLOATS for entry in entries] != [True]:
            raise InputError(
                f"{files[0]} takes {[entry.type for entry in entries]}; export a model that takes images alone, as {' or '.join(_FLOATS)}"
            )
        entry = entries[0]
        self.session, self.entry, self.cast = session, entry.name, _FLOATS[entry.type]
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        self.batch = next((size for size in entry.shape[:1] if isinstance(size, int)), None)
        self.register_buffer("files", _digest(map(Path.read_bytes, files)))

    def forward(self, images: Tensor) -> Tensor:
        """The file's first output for images float (n, channels, H, W)."""
        pixels = images.detach().cpu().numpy().astype(self.cast)
        size = self.batch or len(pixels)
        return torch.from_numpy(np.concatenate([self._run(pixels[k : k + size], size) for k in range(0, len(pixels), size)]))

    def _run(self, pixels: np.ndarray, size: int) -> np.ndarray:
        full = np.concatenate([pixels, np.repeat(pixels[-1:], size - len(pixels), axis=0)])
        return self.session.run(None, {self.entry: full})[0][: len(pixels)]


class Logarithm(nn.Module):
    """Probabilities (n, classes) as the logits whose softmax they are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.forward_only = getattr(module, "forward_only", False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes), finite also where a probability is 0."""
        return self.module(images).float().clamp(min=torch.finfo(torch.float32).tiny).log()


def tried(loaded: LoadedModel) -> LoadedModel:
    """The model, once it has answered two images by logits; one that answers by probabilities is read by their logarithm.

    Raises:
        InputError: it stops with an error, or returns anything but one tensor (2, classes).
    """
    size, channels = loaded.preprocessing.image_size, loaded.model.channels if isinstance(loaded.model, GreyAdapter) else 1
    places = (tensor.device for tensor in chain(loaded.model.parameters(), loaded.model.buffers()))
    images = torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0)).to(next(places, "cpu"))
    try:
        with torch.no_grad(), evaluating(loaded.model):
            answers = loaded.model(images)
    except Exception as error:  # anyone's code
        raise InputError(
            f"{loaded.name} cannot take two images, float (2, {channels}, {size}, {size}): {type(error).__name__}: "
            f"{shorten(str(error), 300)}; give the image size and channels that it expects, or a model that takes such batches"
        ) from error
    wanted = (2, len(loaded.classes))
    if not isinstance(answers, Tensor) or answers.shape != wanted:
        one = isinstance(answers, Tensor) and answers.numel() == 2 and wanted == (2, 2)
        raise InputError(
            f"{loaded.name} answers two images by {_form(answers)}; it must return one tensor of logits {wanted}, "
            f"a column for each of {', '.join(loaded.classes)}"
            + (f"; of one logit z, for {loaded.classes[1]}, torch.stack([0 * z, z], dim=1) makes two" if one else "")
        )
    if not _are_probabilities(answers.double()):
        return loaded
    name = f"{loaded.name} (it returns probabilities, whose logarithms are taken as logits)"
    return replace(loaded, model=Logarithm(loaded.model), name=name)


def _are_probabilities(rows: Tensor) -> bool:
    return bool((rows >= 0).all() and (rows <= 1).all() and ((rows.sum(dim=1) - 1).abs() < _SUM).all())


def _form(answers: object) -> str:
    if isinstance(answers, Tensor):
        return f"a tensor {tuple(answers.shape)} of {str(answers.dtype).removeprefix('torch.')}"
    if isinstance(answers, tuple | list):
        return f"a {type(answers).__name__} of {len(answers)}"
    return f"a {type(answers).__name__}"


def _digest(parts: Iterable[bytes]) -> Tensor:
    """SHA-256 as a tensor, uint8 (32,)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
