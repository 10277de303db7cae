"""What must be built to be checked: costs against networks and fvcore, keys against executed graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from baselines.costs import size_of
from baselines.registry import get_baseline
from search_spaces import Architecture, Budget, get_space
from search_spaces.counting import count
from search_spaces.measured import measured_memory
from search_spaces.networked import NetworkSpace

Row = dict[str, Any]
SIZES = (32, 48, 97)
_PRODUCTS = ("conv", "linear", "addmm", "matmul", "mm", "bmm", "einsum")  # fvcore's names of what multiplies matrices
_FEW = 300  # budgets reach from the smallest cost to so many times that


def exact(name: str, index: int) -> Row:
    """One random network at three sizes: how many agree in parameters and FLOPs, and the extremes of memory (ours ÷ measured)."""
    space = get_space(name, in_channels=(1, 3)[index % 2], image_size=SIZES[0])
    assert isinstance(space, NetworkSpace)
    architecture = _drawn(space, np.random.default_rng([index, 1]), whole=index % 4 == 0)
    row: Row = {"networks": 0, "parameters": 0, "flops": 0, "memory": []}
    blocks, model = None, nn.Module()
    for size in SIZES:
        if blocks != (blocks := space.blocks(architecture, size)):  # a flattened map's size is in the head
            model = _raw(space, architecture, size)
        cost = space.cost(architecture, size)
        row["networks"] += 1
        row["parameters"] += cost.parameters == _parameters(model)
        row["flops"] += cost.flops == _fvcore(model, size)
        row["memory"].append(cost.memory / measured_memory(model, torch.zeros(1, 1, size, size)))
    row["memory"] = [min(row["memory"]), max(row["memory"])]
    return row


def exact_total(rows: list[Row]) -> Row:
    """Sums, and the extremes of memory."""
    total: Row = {key: sum(row[key] for row in rows) for key in ("networks", "parameters", "flops")}
    low, high = min(row["memory"][0] for row in rows), max(row["memory"][1] for row in rows)
    return total | {"memory, ours ÷ measured": [round(low, 6), round(high, 6)], "sizes": SIZES}


def baseline(name: str) -> Row:
    """Our figures of a baseline beside fvcore's, the module's, and a second count that does no arithmetic."""
    found = get_baseline(name)
    model = found.build(found.paper_classes, found.paper_channels, found.paper_size)
    ours, second = count(model, found.paper_size), size_of(found)
    recurrent = sum(ours.operators.get(operator, 0) for operator in ("lstm", "gru"))  # fvcore says 0
    return {
        "image_size": found.paper_size,
        "parameters": ours.parameters,
        "flops": ours.flops,
        "parameters agree": ours.parameters == second.parameters == _parameters(model),
        "flops agree": ours.flops - recurrent == _fvcore(model, found.paper_size) and ours.flops == second.flops,
        **({"of which recurrent": recurrent} if recurrent else {}),
    }


def keys(name: str, index: int) -> Row:
    """A network with a synonym, with a mutant, and with another network: pairs, same networks, agreements with the keys."""
    space, rng = get_space(name, image_size=SIZES[0]), np.random.default_rng([index, 3])
    assert isinstance(space, NetworkSpace)
    first = _drawn(space, rng, whole=False)
    graph = executed_graph(_raw(space, first, SIZES[0]))
    row = {"pairs": 0, "same": 0, "agree": 0}
    for other in (_synonym(space, first, rng), space.mutate(first, rng), _drawn(space, rng, whole=False)):
        same = executed_graph(_raw(space, other, SIZES[0])) == graph
        row["pairs"] += 1
        row["same"] += same
        row["agree"] += same == (first.key == other.key) == (first == other)
    return row


def keys_total(rows: list[Row]) -> Row:
    """Sums."""
    return {key: sum(row[key] for row in rows) for key in ("pairs", "same", "agree")}


def executed_graph(model: nn.Module) -> tuple[Any, ...]:
    """What a network does: its parameters' names and shapes, and every operator it runs, on which tensors, in order."""
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        model.eval()(torch.zeros(1, 1, SIZES[0], SIZES[0]))
    return tuple((name, tuple(value.shape)) for name, value in model.state_dict().items()), tuple(recorder.lines)


class _Recorder(TorchDispatchMode):
    """Writes operators down with their tensors numbered in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._seen: list[torch.Tensor] = []  # kept, so that no identity is used twice
        self._numbers: dict[int, int] = {}

    def _number(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self._seen)
            self._seen.append(tensor)
        return f"t{self._numbers[id(tensor)]}{tuple(tensor.shape)}"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.lines.append(f"{func} {tree_map_only(torch.Tensor, self._number, (args, kwargs, out))}")
        return out


def _drawn(space: NetworkSpace, rng: np.random.Generator, whole: bool) -> Architecture:
    """A random point of the whole space, or one under a random budget."""
    return space.sample(rng, None if whole else Budget(flops=space.smallest()["flops"] * _FEW ** rng.random()))


def _synonym(space: NetworkSpace, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """The same network, spelled with random choices where they do not matter."""
    active = space.active(architecture)
    drawn = {name: options[rng.integers(len(options))] for name, options in space.decisions.items()}
    return space.architecture({name: architecture[name] if name in active else drawn[name] for name in space.decisions})


def _raw(space: NetworkSpace, architecture: Architecture, size: int) -> nn.Module:
    """The built network with weights that nobody set: built without memory, then given some."""
    with torch.device("meta"):
        model = space.build(architecture, size)
    return model.to_empty(device="cpu").eval()


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _fvcore(model: nn.Module, size: int) -> int:
    """fvcore's own figure, without our handles."""
    analysis = FlopCountAnalysis(model.eval(), torch.zeros(1, 1, size, size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return int(sum(flops for operator, flops in analysis.by_operator().items() if operator in _PRODUCTS))
