"""What the audit costs, as ratios inside one run: screen and block probes against a training, our occlusion against Captum's.

    python -m tests.performance.audit_speed [speed|occlusion] [--image-size 64] [--budget 8M] [--device cpu|cuda]

Memory: ``python -m tests.performance.audit_speed memory`` pushes 5,000 images × 25 edits of 224 px through the engine and prints
the growth of the resident set beyond the data.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from baselines.recipe import Recipe
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, train
from nas.inquisitor import Engine, Margins, audit_model, block_probes
from nas.inquisitor.attribution.methods import log_odds
from nas.inquisitor.attribution.occlusion import occlude
from nas.inquisitor.engine import to_float
from search_spaces import Budget, get_space

_ALL = Margins(competence=0.01)  # an unconvincing model is questioned as well: the cost is the same
RESULTS = Path(__file__).parent / "results" / "audit_speed.json"
T = TypeVar("T")


def _timed(job: Callable[[], T], device: str) -> tuple[float, T]:
    """CPU seconds, so that other processes do not count; on CUDA the seconds until the device is done."""
    if device == "cpu":
        started = time.process_time()
        value = job()
        return time.process_time() - started, value
    torch.cuda.synchronize()
    started = time.perf_counter()
    value = job()
    torch.cuda.synchronize()
    return time.perf_counter() - started, value


def speed(image_size: int, budget: str, device: str) -> dict[str, float]:
    """Shares of a training of 800 images × 8 epochs."""
    data = phantom(1200, image_size, 0)
    space = get_space("pepx", classes=3, image_size=image_size)
    architecture = space.sample(np.random.default_rng(0), Budget.parse(budget, image_size=image_size), fill=True)
    model = space.build(architecture, image_size)
    rows = np.arange(1200)
    seconds, _ = _timed(
        lambda: train(model, DeviceData(data, device), rows[:800], rows[800:], Recipe(epochs=8), seed=0), device
    )
    asked = rows[800:]
    screen, finding = _timed(
        lambda: audit_model(model, data, asked, level="screen", tests=("T1", "T3"), margins=_ALL, device=device), device
    )
    probes, _ = _timed(lambda: block_probes(model, data, asked, device=device), device)
    return {
        "training_seconds": round(seconds, 2), "screen_share": round(screen / seconds, 4), "screen_tests": len(finding.tests),
        "probes_share": round(probes / seconds, 4),
    }  # fmt: skip


def occlusion(image_size: int, budget: str, device: str) -> dict[str, object]:
    """How many times faster than Captum's occlusion with its default call, which sees all images under one window at a time.

    Four random networks near the budget; a picture by itself, as where one decision is explained, and four together. Each is
    timed in turns, three times, on one thread, and the fastest counts.
    """
    data, window = phantom(8, image_size, 0), image_size // 6
    space = get_space("pepx", classes=3, image_size=image_size)
    ratios: dict[str, list[float]] = {"1 image": [], "4 images": []}
    difference = 0.0
    for seed in range(4):
        drawn = space.sample(np.random.default_rng(seed), Budget.parse(budget, image_size=image_size), fill=True)
        model = space.build(drawn, image_size).eval().to(device)
        model.to(memory_format=torch.channels_last)  # as a training leaves it
        for name, found in ratios.items():
            n = int(name.split()[0])
            pictures = to_float(torch.from_numpy(data.images[:n])).to(device)
            targets = torch.zeros(n, dtype=torch.int64, device=device)
            shape = {"sliding_window_shapes": (1, window, window), "strides": (1, window // 2, window // 2)}

            def ours(model=model, pictures=pictures, targets=targets) -> Tensor:  # type: ignore[no-untyped-def]
                return occlude(Engine(model), pictures, targets, window=window, stride=window // 2, reference=0.0)

            def theirs(model=model, pictures=pictures, targets=targets, shape=shape) -> Tensor:  # type: ignore[no-untyped-def]
                return Occlusion(log_odds(model)).attribute(pictures, target=targets, **shape)[:, 0]

            turns = [(_timed(ours, device), _timed(theirs, device)) for _ in range(3)]
            found.append(round(min(their[0] for _, their in turns) / min(our[0] for our, _ in turns), 2))
            difference = max(difference, float((turns[0][0][1] - turns[0][1][1].cpu()).abs().max()))
    return {"times_as_fast": ratios, "largest_difference": difference}


class _Open(nn.Module):
    """A few convolutions at 224 px: activations dominate, as in a real network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, 4, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 4, 1), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


def memory(images: int = 5000, edits: int = 25) -> dict[str, float]:
    """Resident memory beyond the data while every image is seen under every edit."""
    pictures = torch.randint(0, 256, (images, 1, 224, 224), dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 224 // 5

    def edit(numbers: Tensor) -> Tensor:
        shown, cell = to_float(pictures[numbers % images]), numbers // images
        for row, place in enumerate(cell.tolist()):
            shown[row, :, (place // 5) * size : (place // 5 + 1) * size, (place % 5) * size : (place % 5 + 1) * size] = 0.5
        return shown

    Engine(_Open()).logits(edit, images * edits, 224)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"images": images, "edits": edits, "grown_mebibytes": round((after - before) / 1024, 1)}


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "occlusion", "memory"), nargs="?", default="speed")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--budget", default="8M")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    jobs: dict[str, Callable[[int, str, str], Mapping[str, object]]] = {"speed": speed, "occlusion": occlusion}
    sized = arguments.what in jobs
    found = jobs[arguments.what](arguments.image_size, arguments.budget, arguments.device) if sized else memory()
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept["command"] = "python -m tests.performance.audit_speed [speed|occlusion|memory]"
    place = "" if arguments.device == "cpu" else f" on {torch.cuda.get_device_name()}"
    kept[f"{arguments.what} {arguments.image_size} px {arguments.budget}{place}" if sized else "memory"] = found
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
