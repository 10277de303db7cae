"""Block probes: what each block of a network causes, by ablating, shrinking and noising it, and what backgrounds do to it.

This is the inquisitor's stimulus and reaction on the network's parts; the generator reads the importances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.dataset import Dataset, Indices
from nas.edits import get_fill
from nas.inquisitor.engine import Engine, Exhibits, evaluating, margins, to_float
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


def block_probes(
    model: nn.Module, dataset: Dataset, indices: Indices, *, seed: int = 0, device: str | torch.device = "cpu", images: int = 64
) -> dict[str, float]:
    """Importance of every block: the loss of correct-class margin, in σ, when it is ablated."""
    found = probe_blocks(model, dataset, indices, seed=seed, device=device, images=images)
    return {name: probe.ablated for name, probe in found.items()}


def probe_blocks(
    model: nn.Module, dataset: Dataset, indices: Indices, *, seed: int = 0, device: str | torch.device = "cpu", images: int = 64
) -> dict[str, BlockProbe]:
    """All probes of every block on up to ``images`` images, each a pass over them in the engine's batches."""
    rng = np.random.default_rng([seed, 0xB10C])
    rows = np.sort(rng.permutation(np.asarray(indices, np.int64))[:images])
    shown, engine = Exhibits.gather(dataset, rows, device), Engine(model, device)
    statistics = _record(engine, shown, block_names(model))
    clean = _correct(engine.on_images(shown.images), shown.labels)
    sigma = float(clean.std()) or 1.0
    moved = _background_shift(engine, dataset, shown, rows, statistics, rng)
    generator = torch.Generator(engine.device).manual_seed(int(rng.integers(0, 2**62)))
    found = {}
    for name, (mean, spread, _) in statistics.items():
        changes = _changes(mean, spread, generator)
        losses = [
            float((clean - _correct(_changed(engine, shown, name, change), shown.labels)).mean()) / sigma for change in changes
        ]
        found[name] = BlockProbe(losses[0], losses[1], losses[2], moved.get(name))
    return found


def _changes(mean: Tensor, spread: Tensor, generator: torch.Generator) -> tuple[Change, Change, Change]:
    """Ablate, shrink, noise: each from a block's output to a changed one of the same shape."""

    def noised(value: Tensor) -> Tensor:
        noise = torch.empty_like(value).normal_(generator=generator)
        return value + 0.5 * _like(spread, value) * noise

    return (
        lambda value: _like(mean, value).expand_as(value),
        lambda value: (value + _like(mean, value)) / 2,
        noised,
    )


def _like(channels: Tensor, value: Tensor) -> Tensor:
    """Per-channel figures (C,) in the rank of ``value``, whose axis 1 holds the channels."""
    return channels.view(1, -1, *([1] * (value.ndim - 2)))


@contextmanager
def _hooked(module: nn.Module, hook: Callable[[nn.Module, tuple, Tensor], Tensor | None]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _changed(engine: Engine, shown: Exhibits, name: str, change: Change) -> NDArray[np.float32]:
    with _hooked(engine.model.get_submodule(name), lambda _module, _inputs, output: change(output)):
        return engine.on_images(shown.images)


def _record(engine: Engine, shown: Exhibits, names: list[str]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Mean and spread of each channel (C,), and each image's mean response (n, C), for blocks that return one tensor."""
    responses = _responses(engine, names, lambda: engine.on_images(shown.images))
    found = {}
    for name, (first, second, rows) in responses.items():
        mean = first.mean(dim=0)
        spread = (second.mean(dim=0) - mean**2).clamp(min=0).sqrt()
        found[name] = (mean, spread, rows)
    return found


def _responses(engine: Engine, names: list[str], run: Callable[[], object]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Per image and channel: mean, mean square (n, C) of every block's response while ``run`` runs."""
    firsts: dict[str, list[Tensor]] = {name: [] for name in names}
    seconds: dict[str, list[Tensor]] = {name: [] for name in names}

    def listen(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            if isinstance(output, Tensor) and output.ndim >= 2:
                flat = output.detach().float().flatten(2) if output.ndim > 2 else output.detach().float()[:, :, None]
                firsts[name].append(flat.mean(dim=2))
                seconds[name].append(flat.square().mean(dim=2))

        return hook

    handles = [engine.model.get_submodule(name).register_forward_hook(listen(name)) for name in names]
    try:
        with evaluating(engine.model):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: (torch.cat(firsts[name]), torch.cat(seconds[name]), torch.cat(firsts[name])) for name in names if firsts[name]
    }


def _background_shift(
    engine: Engine, dataset: Dataset, shown: Exhibits, rows: Indices, statistics: dict[str, tuple[Tensor, Tensor, Tensor]],
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Root mean square shift of each block's channel means, over their spread between images, under another background."""
    usable, _ = usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    if usable.sum() < 4:
        return {}
    kept = np.flatnonzero(usable)
    masked = shown.take(kept)
    regions = chest_region(masked.masks)
    giver = torch.as_tensor(np.roll(np.arange(len(kept)), 1 + int(rng.integers(0, len(kept) - 1))), device=engine.device)
    noise = torch.Generator().manual_seed(int(rng.integers(0, 2**62)))
    behind = get_fill("ring")(to_float(masked.images), regions, noise)[giver]

    def edit(numbers: Tensor) -> Tensor:
        return torch.where(regions[numbers], to_float(masked.images[numbers]), behind[numbers])

    swapped = _responses(engine, list(statistics), lambda: engine.logits(edit, len(kept), masked.image_size))
    found = {}
    for name, (_, _, clean) in statistics.items():
        own = clean[torch.as_tensor(kept, device=clean.device)]
        spread = own.std(dim=0).clamp(min=1e-9)
        found[name] = float((((swapped[name][0] - own) / spread) ** 2).mean().sqrt())
    return found


def _correct(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-odds of each image's own class, float64 (n,)."""
    return margins(logits)[np.arange(len(labels)), labels]
