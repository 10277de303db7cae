"""How near the training loop comes to the bare step, and how far ahead of the textbook loop it is, in one run.

    python -m tests.performance.evaluation --json

The bare step is the ceiling: forward, loss, backward, fused optimiser on one synthetic float batch that lies on the device, in
the same memory layout, with no augmentation, gradient clipping, bookkeeping or profile; on CUDA it is a captured graph. Epochs of our
loop, of the bare step and of the textbook loop take turns, and each ratio is the median over the turns, so that other
load on the machine cancels. All three use the same threads; the textbook loop has two worker processes besides.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from baselines.recipe import Recipe
from nas.evaluation import DeviceData, train
from nas.evaluation.optimisation import make_optimiser, parameter_groups
from nas.evaluation.profile import Account
from nas.evaluation.step import GraphStep
from nas.records import EpochRecord
from search_spaces import Budget, get_space
from tests.performance.textbook import TextbookLoop


def network(mega_flops: float, image_size: int, seed: int = 0) -> nn.Module:
    """A PEPX network within 10 % under so many MFLOPs."""
    space = get_space("pepx", classes=3, in_channels=1, image_size=image_size)
    budget = Budget(flops=mega_flops * 1e6, min_flops=mega_flops * 0.9e6, image_size=image_size)
    architecture = space.sample(np.random.default_rng(seed), budget)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return space.build(architecture, image_size)


class BareStep:
    """The ceiling."""

    def __init__(self, model: nn.Module, batch: int, image_size: int, device: torch.device) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        recipe = Recipe(gradient_clip=0.0)
        self.optimiser = make_optimiser(parameter_groups(model, recipe), recipe, device)
        self.images = torch.rand(batch, 1, image_size, image_size, device=device)
        self.labels = torch.randint(0, 3, (batch,), device=device)
        self.device = device
        self._graph = GraphStep(model, self.optimiser, recipe, device) if device.type == "cuda" else None
        self.run(4)

    def run(self, steps: int) -> float:
        """Images per second over so many steps."""
        self._wait()
        started = time.perf_counter()
        for _ in range(steps):
            self._one()
        self._wait()
        return steps * len(self.images) / (time.perf_counter() - started)

    def _one(self) -> None:
        if self._graph is not None:
            self._graph(self.images, self.labels, Account())
            return
        loss = functional.cross_entropy(self.model(self.images), self.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure(
    mega_flops: float, image_size: int, *, images: int, epochs: int, batch: int, device: torch.device, textbook: bool
) -> dict:
    """One row of the table."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (images, 1, image_size, image_size), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, 3, images))
    data = DeviceData.from_tensors(pixels, labels, 3, device)
    bare = BareStep(network(mega_flops, image_size), batch, image_size, device)
    loop = TextbookLoop(network(mega_flops, image_size), pixels, labels, batch, device) if textbook else None
    turns: list[tuple[float, float, float | None]] = []

    def alternate(record: EpochRecord) -> None:
        turns.append((record.images_per_second or 0.0, bare.run(images // batch), loop.epoch() if loop else None))

    nothing = np.array([], dtype=np.int64)
    recipe = Recipe(epochs=epochs + 1, batch_size=batch)
    training = train(network(mega_flops, image_size), data, np.arange(images), nothing, recipe, seed=0, on_epoch=alternate)
    turns = turns[1:]  # the first epoch initialises kernels and starts workers
    total = sum(training.seconds.values())
    row = {
        "mflops": mega_flops,
        "image_size": image_size,
        "images_per_second": statistics.median(ours for ours, _, _ in turns),
        "bare_images_per_second": statistics.median(ceiling for _, ceiling, _ in turns),
        "ours_over_bare": statistics.median(ours / ceiling for ours, ceiling, _ in turns),
        "phases": {name: round(seconds / total, 4) for name, seconds in training.seconds.items()},
        "notes": list(training.notes),
    }
    if loop is not None:
        row["textbook_images_per_second"] = statistics.median(other for _, _, other in turns if other)
        row["ours_over_textbook"] = statistics.median(ours / other for ours, _, other in turns if other)
    return row


def main() -> None:
    """Print the table, as JSON or as text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mflops", type=float, nargs="+", default=[5, 15, 40])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=Recipe().batch_size)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--no-textbook", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    device, rows = torch.device(asked.device), []
    for image_size in asked.sizes:
        for mega_flops in asked.mflops:
            row = measure(
                mega_flops, image_size, images=asked.images, epochs=asked.epochs, batch=asked.batch, device=device, textbook=not asked.no_textbook
            )  # fmt: skip
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    result = {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch": asked.batch,
        "rows": rows,
    }
    if asked.json:
        print(json.dumps(result, indent=1))


def _line(row: dict) -> str:
    behind = f"   textbook ×{row['ours_over_textbook']:.2f}" if "ours_over_textbook" in row else ""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in row["phases"].items())
    return (
        f"{row['mflops']:5.0f} MFLOPs {row['image_size']:4d} px  {row['images_per_second']:8.0f} images/s  "
        f"of bare {row['ours_over_bare']:.3f}{behind}   ({shares})"
    )


if __name__ == "__main__":
    main()
