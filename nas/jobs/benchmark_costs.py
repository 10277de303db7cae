"""What each model costs here: FLOPs, parameters, memory, weight size, diversity, latency and throughput on this device."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.records import CostRecord, Metric

if TYPE_CHECKING:
    from torch import nn

    from nas.jobs.benchmark_entrants import Entrant

WARM_UP = 5
REPEATS = 30
BATCH = 32


@dataclass(frozen=True)
class Expense:
    """The cost columns of one row."""

    cost: CostRecord
    diversity: int | None
    weight_bytes: int
    latency: Metric
    throughput: Metric


def expense(entrant: Entrant, image_size: int, device: str) -> Expense:
    """Count and time an entrant's network, untrained: the figures do not depend on the weights."""
    from baselines.layers import seeded
    from search_spaces.counting import count

    model = seeded(0, lambda: entrant.build(image_size)).eval()
    counted = count(model, image_size, in_channels=1)
    cost = entrant.cost(image_size) if entrant.cost is not None else counted_record(counted.record(), entrant.in_channels)
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    latency, throughput = timed(model, image_size, device)
    return Expense(cost, counted.diversity, size, latency, throughput)


def counted_record(figures: dict[str, Any], in_channels: int) -> CostRecord:
    """A count as a record; the network reads one grey image, whatever it replicates it to inside."""
    return CostRecord.model_validate({**figures, "in_channels": in_channels})


def timed(model: nn.Module, image_size: int, device: str) -> tuple[Metric, Metric]:
    """Milliseconds for one image, and images a second in batches: medians after a warm-up, quartiles in the note."""
    import torch

    model.to(device)
    one, many = (
        torch.rand(1, 1, image_size, image_size, device=device),
        torch.rand(BATCH, 1, image_size, image_size, device=device),
    )
    single = 1e3 * durations(model, one, device, REPEATS)
    batch = BATCH / durations(model, many, device, max(REPEATS // 6, 3))
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()
    model.cpu()
    return _median("latency", single, "ms", f"one image, {threads}"), _median(
        "throughput", batch, "images/s", f"batches of {BATCH}, {threads}"
    )


def durations(model: nn.Module, images: object, device: str, repeats: int) -> np.ndarray:
    """Seconds of each forward pass, (repeats,), after a warm-up; on CUDA each waits for the device."""
    import torch

    found = []
    with torch.inference_mode():
        for index in range(WARM_UP + repeats):
            started = time.perf_counter()
            model(images)
            if device == "cuda":
                torch.cuda.synchronize()
            if index >= WARM_UP:
                found.append(time.perf_counter() - started)
    return np.array(found)


def _median(name: str, values: np.ndarray, unit: str, what: str) -> Metric:
    low, middle, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    note = f"{what}; median of {len(values)}, quartiles {low:.3g} to {high:.3g} {unit}"
    return Metric(name=name, value=middle, n=len(values), groups=len(values), unit=unit, note=note)


def net_score(accuracy: float | None, cost: CostRecord | None) -> float | None:
    """20·log10(a² / √(p·m)): accuracy in percent, millions of parameters, billions of FLOPs (Wong 2018)."""
    if not accuracy or cost is None or not cost.parameters or not cost.flops:
        return None
    return 20 * math.log10((100 * accuracy) ** 2 / math.sqrt(cost.parameters / 1e6 * cost.flops / 1e9))
