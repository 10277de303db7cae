"""Measured latency: an optional constraint after building, never part of the hard budget.

The procedure: evaluation mode, no gradients, one image already on the device; warm-up until the clock settles; then single
passes, each timed alone with the device synchronised; the median with a distribution-free interval, and the spread.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import torch
from torch import nn

from search_spaces.errors import InputError

_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for one image.

    Attributes:
        median: of the timed passes.
        low, high: 95 % interval of the median, from order statistics.
        tenth, ninetieth: percentiles of the passes, the spread.
        passes: how many were timed.
        device, threads, batch, image_size: under which it holds; a batch's time is divided by its images.
    """

    median: float
    low: float
    high: float
    tenth: float
    ninetieth: float
    passes: int
    device: str
    threads: int
    batch: int
    image_size: int

    def within(self, limit: float) -> bool | None:
        """Whether the median is at most ``limit`` milliseconds: True or False if the interval says so, else None, undecided."""
        if self.high <= limit:
            return True
        return False if self.low > limit else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_latency(
    model: nn.Module,
    image_size: int,
    *,
    in_channels: int = 1,
    batch: int = 1,
    device: str | torch.device | None = None,
    warm_up: float = 0.2,
    passes: int = 50,
    seconds: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time ``model`` on ``device`` (default: where it is; it is moved and moved back otherwise).

    Args:
        warm_up: seconds of untimed passes, five passes at least.
        passes: timed passes wanted.
        seconds: no new pass is begun after so many; at least five are timed.

    Raises:
        InputError: fewer than five passes, or no images, asked for.
    """
    if passes < 5 or batch < 1:
        raise InputError(f"passes={passes} must be at least 5 and batch={batch} at least 1, else there is no spread to report")
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    place = torch.device(device) if device is not None else home
    training = model.training
    model.to(place).eval()
    try:
        times = _times(
            model, torch.rand(batch, in_channels, image_size, image_size, device=place), warm_up, passes, seconds, clock
        )
    finally:
        model.to(home).train(training)
    ordered = sorted(1000 * t / batch for t in times)
    low, high = _median_interval(len(ordered))
    return Latency(
        median=_quantile(ordered, 0.5),
        low=ordered[low],
        high=ordered[high],
        tenth=_quantile(ordered, 0.1),
        ninetieth=_quantile(ordered, 0.9),
        passes=len(ordered),
        device=_device_name(place),
        threads=torch.get_num_threads(),
        batch=batch,
        image_size=image_size,
    )


def _times(
    model: nn.Module, images: torch.Tensor, warm_up: float, passes: int, seconds: float, clock: Callable[[], float]
) -> list[float]:
    def one_pass() -> float:
        start = clock()
        model(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        return clock() - start

    with torch.inference_mode():
        start, done = clock(), 0
        while done < 5 or clock() - start < warm_up:
            one_pass()
            done += 1
        times: list[float] = []
        start = clock()
        while len(times) < passes and (len(times) < 5 or clock() - start < seconds):
            times.append(one_pass())
    return times


def _median_interval(n: int) -> tuple[int, int]:
    """Places of the order statistics that enclose the median with 95 % confidence (normal approximation to the binomial)."""
    half = _Z95 * sqrt(n) / 2
    return max(0, int(n / 2 - half)), min(n - 1, int(n / 2 + half) + 1)


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"
