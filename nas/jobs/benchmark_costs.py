"""What each model costs here: FLOPs, parameters, memory, weight size, diversity, latency and throughput on this device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.records import CostRecord, Metric
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.jobs.benchmark_entrants import Entrant


@dataclass(frozen=True)
class Expense:
    """The cost columns of one row."""

    cost: CostRecord
    diversity: int | None
    weight_bytes: int
    latency: Metric
    throughput: Metric


def check_network(entrant: Entrant, image_size: int, classes: int) -> None:
    """Run and count an untrained network once: what would void its row is told before its trainings, not after them.

    Raises:
        InputError: its answer is not one logit a class, or it uses an operator that nobody counts.
    """
    import torch

    from baselines.layers import seeded
    from search_spaces.counting import count

    model = seeded(0, lambda: entrant.build(image_size)).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(1, 1, image_size, image_size))
    if getattr(logits, "shape", None) != (1, classes):
        got = str(tuple(logits.shape)) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise InputError(f"one image must be answered by logits (1, {classes}), but got {got}; mend what builds {entrant.name}")
    count(model, image_size, in_channels=1)


def expense(entrant: Entrant, image_size: int, device: str) -> Expense:
    """Count and time an entrant's network, untrained: the figures do not depend on the weights."""
    from baselines.layers import seeded
    from nas.evaluation.latency import latency, throughput
    from search_spaces.counting import count

    model = seeded(0, lambda: entrant.build(image_size)).eval()
    counted = count(model, image_size, in_channels=1)
    cost = entrant.cost(image_size) if entrant.cost is not None else counted_record(counted.record(), entrant.in_channels)
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return Expense(cost, counted.diversity, size, latency(model, image_size, device), throughput(model, image_size, device))


def counted_record(figures: dict[str, Any], in_channels: int) -> CostRecord:
    """A count as a record; the network reads one grey image, whatever it replicates it to inside."""
    return CostRecord.model_validate({**figures, "in_channels": in_channels})


def net_score(accuracy: float | None, cost: CostRecord | None) -> float | None:
    """20·log10(a² / √(p·m)): accuracy in percent, millions of parameters, billions of FLOPs (Wong 2018)."""
    if not accuracy or cost is None or not cost.parameters or not cost.flops:
        return None
    return 20 * math.log10((100 * accuracy) ** 2 / math.sqrt(cost.parameters / 1e6 * cost.flops / 1e9))
