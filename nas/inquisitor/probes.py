"""Block probes: what each block of a network causes, by ablating, shrinking and noising it, and what backgrounds do to it.

This is the inquisitor's stimulus and reaction on the network's parts; the generator reads the importances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.dataset import Dataset, Indices
from nas.edits import get_fill
from nas.inquisitor.engine import Engine, Exhibits, margins, to_float
from nas.inquisitor.gates import usable_masks
from nas.inquisitor.regions import chest_region

_BLOCK = re.compile(r"(^|\.)stage\d+\.block\d+$")
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BlockProbe:
    """What one block causes, in units of σ of the correct-class margin.

    Attributes:
        ablated: mean loss of margin when each channel's response is replaced by its mean over images and positions.
        shrunk: the same when deviations from that mean are halved. noised: when noise of half their spread is added.
        background: how far the response moves, relative to its spread, when the background is another patient's.
    """

    ablated: float
    shrunk: float
    noised: float
    background: float | None


def block_names(model: nn.Module) -> list[str]:
    """Modules to probe: those called ``stage1.block2``; else the children of the deepest sequence; else the children."""
    named = [name for name, _ in model.named_modules() if _BLOCK.search(name)]
    if named:
        return named
    sequences = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Sequential | nn.ModuleList)]
    if sequences:
        name, longest = max(sequences, key=lambda pair: len(pair[1]))
        prefix = f"{name}." if name else ""
        return [f"{prefix}{child}" for child, module in longest.named_children() if any(True for _ in module.parameters())]
    return [name for name, module in model.named_children() if any(True for _ in module.parameters())]


@dataclass(frozen=True, eq=False)
class _Heard:
    """What the blocks said of the images as they are.

    Attributes:
        means, spreads: of each channel, (C,) by block. rows: each image's mean response, (n, C) by block.
        clean: correct-class margins, float64 (n,).
    """

    engine: Engine
    shown: Exhibits
    rng: np.random.Generator
    means: dict[str, Tensor]
    spreads: dict[str, Tensor]
    rows: dict[str, Tensor]
    clean: NDArray[np.float64]


def block_probes(
    model: nn.Module, dataset: Dataset, indices: Indices, *, seed: int = 0, device: str | torch.device = "cpu", images: int = 64
) -> dict[str, float]:
    """Importance of every block: the loss of correct-class margin, in σ, when it is ablated. Passes: one, and one a block."""
    heard = _listen(model, dataset, indices, seed, device, images)
    losses = _losses(heard, {name: [_ablated(mean)] for name, mean in heard.means.items()})
    return {name: lost[0] for name, lost in losses.items()}


def probe_blocks(
    model: nn.Module, dataset: Dataset, indices: Indices, *, seed: int = 0, device: str | torch.device = "cpu", images: int = 64
) -> dict[str, BlockProbe]:
    """All probes of every block on up to ``images`` images. Passes over them: two, and three a block."""
    heard = _listen(model, dataset, indices, seed, device, images)
    moved = _background_shift(heard, dataset)
    generator = torch.Generator(heard.engine.device).manual_seed(int(heard.rng.integers(0, 2**62)))
    changes = {
        name: [_ablated(mean), _shrunk(mean), _noised(heard.spreads[name], generator)] for name, mean in heard.means.items()
    }
    return {name: BlockProbe(lost[0], lost[1], lost[2], moved.get(name)) for name, lost in _losses(heard, changes).items()}


def _listen(model: nn.Module, dataset: Dataset, indices: Indices, seed: int, device: str | torch.device, images: int) -> _Heard:
    """One pass over the images: margins, and the responses of all blocks that return one tensor."""
    rng = np.random.default_rng([seed, 0xB10C])
    rows = np.sort(rng.permutation(np.asarray(indices, np.int64))[:images])
    shown, engine = Exhibits.gather(dataset, rows, device), Engine(model, device)
    logits, responses = _responses(engine, block_names(model), lambda: engine.on_images(shown.images))
    means = {name: first.mean(dim=0) for name, (first, _) in responses.items()}
    spreads = {name: (second.mean(dim=0) - means[name] ** 2).clamp(min=0).sqrt() for name, (_, second) in responses.items()}
    clean = _correct(logits, shown.labels)
    return _Heard(engine, shown, rng, means, spreads, {name: first for name, (first, _) in responses.items()}, clean)


def _ablated(mean: Tensor) -> Change:
    return lambda value: _like(mean, value).expand_as(value)


def _shrunk(mean: Tensor) -> Change:
    return lambda value: (value + _like(mean, value)) / 2


def _noised(spread: Tensor, generator: torch.Generator) -> Change:
    return lambda value: value + 0.5 * _like(spread, value) * torch.empty_like(value).normal_(generator=generator)


def _like(channels: Tensor, value: Tensor) -> Tensor:
    """Per-channel figures (C,) in the rank of ``value``, whose axis 1 holds the channels."""
    return channels.view(1, -1, *([1] * (value.ndim - 2)))


def _losses(heard: _Heard, changes: Mapping[str, Sequence[Change]]) -> dict[str, list[float]]:
    """Mean loss of correct-class margin under every change of every block, in σ of the margins.

    All (change × image) pairs go through the engine in one stream: a device takes many blocks' changes in one batch. A block's
    hook changes the rows that are its own and lets the others pass.
    """
    count, images = len(heard.shown), heard.shown.images
    first = 0  # pair number of the current batch's first image

    def edit(numbers: Tensor) -> Tensor:
        nonlocal first
        first = int(numbers[0])
        return to_float(images[numbers % count])

    def changing(start: int, own: Sequence[Change]) -> Callable[[nn.Module, tuple, Tensor], Tensor | None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor | None:
            changed = None
            for place, change in enumerate(own):
                begin = max(start + place * count - first, 0)
                end = min(start + (place + 1) * count - first, len(output))
                if begin < end:
                    changed = output.clone() if changed is None else changed
                    changed[begin:end] = change(output[begin:end])
            return changed

        return hook

    starts = dict(zip(changes, accumulate(map(len, changes.values()), initial=0), strict=False))
    pairs = count * sum(map(len, changes.values()))
    hooks = {name: changing(starts[name] * count, own) for name, own in changes.items()}
    with _hooked(heard.engine.model, hooks):
        logits = heard.engine.logits(edit, pairs, heard.shown.image_size)
    lost = np.tile(heard.clean, pairs // count) - _correct(logits, np.tile(heard.shown.labels, pairs // count))
    means = (lost.reshape(-1, count).mean(axis=1) / (float(heard.clean.std()) or 1.0)).tolist()
    return {name: means[starts[name] : starts[name] + len(own)] for name, own in changes.items()}


@contextmanager
def _hooked(model: nn.Module, hooks: Mapping[str, Callable[[nn.Module, tuple, Tensor], Tensor | None]]) -> Iterator[None]:
    handles = [model.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _responses(
    engine: Engine, names: Sequence[str], run: Callable[[], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], dict[str, tuple[Tensor, Tensor]]]:
    """What ``run`` returns; and per image and channel the mean and mean square (n, C) of every block's response meanwhile."""
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

    def listen(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            if isinstance(output, Tensor) and output.ndim >= 2:
                flat = output.detach().float().flatten(2) if output.ndim > 2 else output.detach().float()[:, :, None]
                parts[name].append((flat.mean(dim=2), flat.square().mean(dim=2)))

        return hook

    with _hooked(engine.model, {name: listen(name) for name in names}):
        logits = run()
    return logits, {
        name: (torch.cat([m for m, _ in own]), torch.cat([s for _, s in own])) for name, own in parts.items() if own
    }


def _background_shift(heard: _Heard, dataset: Dataset) -> dict[str, float]:
    """Root mean square shift of each block's channel means, over their spread between images, under another background."""
    engine, rows, rng = heard.engine, heard.shown.rows, heard.rng
    usable, _ = usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    if usable.sum() < 4:
        return {}
    kept = np.flatnonzero(usable)
    masked = heard.shown.take(kept)
    regions = chest_region(masked.masks)
    giver = torch.as_tensor(np.roll(np.arange(len(kept)), 1 + int(rng.integers(0, len(kept) - 1))), device=engine.device)
    noise = torch.Generator().manual_seed(int(rng.integers(0, 2**62)))
    behind = get_fill("ring")(to_float(masked.images), regions, noise)[giver]

    def edit(numbers: Tensor) -> Tensor:
        return torch.where(regions[numbers], to_float(masked.images[numbers]), behind[numbers])

    _, swapped = _responses(engine, list(heard.rows), lambda: engine.logits(edit, len(kept), masked.image_size))
    found = {}
    for name, clean in heard.rows.items():
        own = clean[torch.as_tensor(kept, device=clean.device)]
        spread = own.std(dim=0).clamp(min=1e-9)
        found[name] = float((((swapped[name][0] - own) / spread) ** 2).mean().sqrt())
    return found


def _correct(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-odds of each image's own class, float64 (n,)."""
    return margins(logits)[np.arange(len(labels)), labels]
