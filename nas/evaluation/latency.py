"""Measured speed as metrics: milliseconds for one image, images a second in batches."""

from __future__ import annotations

from torch import nn

from nas.records import Interval, Metric
from search_spaces.latency import Latency, measure_latency

BATCH = 32
_METHOD = "order statistics of the median"


def latency(model: nn.Module, image_size: int, device: str) -> Metric:
    """Milliseconds for one image on this device."""
    found = measure_latency(model, image_size, device=device)
    spread = f"tenth to ninetieth percentile {found.tenth:.3g} to {found.ninetieth:.3g} ms"
    return Metric(
        name="latency",
        value=found.median,
        interval=Interval(low=found.low, high=found.high, method=_METHOD),
        n=found.passes,
        groups=found.passes,
        unit="ms",
        note=f"one image, {_where(found)}; {spread}",
    )


def throughput(model: nn.Module, image_size: int, device: str) -> Metric:
    """Images a second in batches on this device."""
    found = measure_latency(model, image_size, batch=BATCH, device=device, passes=7)
    return Metric(
        name="throughput",
        value=1e3 / found.median,
        interval=Interval(low=1e3 / found.high, high=1e3 / found.low, method=_METHOD),
        n=found.passes,
        groups=found.passes,
        unit="images/s",
        note=f"batches of {BATCH}, {_where(found)}",
    )


def _where(found: Latency) -> str:
    return f"{found.device}, {found.threads} threads" if found.device.startswith("cpu") else found.device
