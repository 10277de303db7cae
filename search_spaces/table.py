"""What ``nas cost`` shows, as plain data: per-layer tables of an architecture or a module, and the range of a space."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.networked import NetworkSpace
from search_spaces.operations import Block, Operation, Operations, Shape, expanded, tally
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from torch import nn

Row = dict[str, Any]


def architecture_table(space: SearchSpace, architecture: Architecture, image_size: int | None = None) -> dict[str, Any]:
    """Figures of an architecture in total, per block, and per layer; nothing is built."""
    cost = space.cost(architecture, image_size)
    table: dict[str, Any] = {
        "kind": "architecture",
        "space": architecture.space,
        "key": architecture.key,
        **cost.to_json(),
        "units": UNITS,
    }
    if isinstance(space, NetworkSpace):
        layers = layer_rows(space.blocks(architecture, cost.image_size), cost.image_size, architecture.in_channels)
        table |= {"layers": layers, "diversity": distinct(layers)}
    return table


def space_table(space: SearchSpace, image_size: int | None = None) -> dict[str, Any]:
    """The range of a space: its smallest and, where it has networks, largest reachable figures, each alone."""
    size = image_size or space.image_size
    budget = Budget(image_size=size)
    table: dict[str, Any] = {
        "kind": "space",
        "space": space.name,
        "version": space.version,
        "decisions": len(space.decisions),
        "image_size": size,
        "in_channels": space.in_channels,
        "classes": space.classes,
        "smallest": space.smallest(budget),
        "prototypes": sorted(space.prototypes()),
        "units": UNITS,
    }
    if isinstance(space, NetworkSpace):
        table["largest"] = space.largest(budget)
    return table


def module_table(model: nn.Module, image_size: int, in_channels: int = 1) -> dict[str, Any]:
    """Figures of any module, traced; an operator that nobody counts raises ``UncountedOperatorError``."""
    from search_spaces.counting import count

    counted = count(model, image_size, in_channels)
    layers = [asdict(layer) for layer in counted.layers]
    return {
        "kind": "module",
        **counted.record(),
        "operators": counted.operators,
        "uncounted": counted.uncounted,
        "layers": layers,
        "diversity": counted.diversity,
        "units": UNITS,
    }


UNITS = {
    "flops": "multiply–accumulates of one image in evaluation mode",
    "parameters": "trainable",
    "memory": "bytes of float32 activations alive at the peak, without the scratch space of the backend",
}


def layer_rows(blocks: list[Block], image_size: int, in_channels: int) -> list[Row]:
    """One row for each convolution, linear layer and normalisation: where it is, its configuration, figures, output."""
    rows: list[Row] = []
    shape = Shape(in_channels, image_size)
    for block in blocks:
        rows += _rows(f"{block.name}.shortcut", block.shortcut or (), shape)
        inner, shape = _walk(block.name, block.branch, shape)
        rows += inner
    return rows


def distinct(rows: list[Row]) -> int:
    """Architectural diversity: how many layer configurations differ among the rows."""
    return len({(row["kind"], row["configuration"]) for row in rows})


def _rows(name: str, operations: Operations, shape: Shape) -> list[Row]:
    return _walk(name, operations, shape)[0]


def _walk(name: str, operations: Operations, shape: Shape) -> tuple[list[Row], Shape]:
    rows: list[Row] = []
    for operation in (simple for step in operations for simple in expanded(step)):
        if operation[0] == "fork":
            rows += [row for part in operation[1:] for row in _rows(name, part, shape)]
        found = tally((operation,), shape)
        shape = found.shape
        if operation[0] == "se":  # two linear layers on the channels' means
            _, channels, hidden = operation
            gates: Operations = (("linear", channels, hidden, True), ("linear", hidden, channels, True))
            rows += _rows(name, gates, Shape(channels, 1))
        elif found.parameters and operation[0] != "fork":
            rows.append(_row(name, operation, found.flops, found.parameters, shape))
    return rows, shape


def _row(name: str, operation: Operation, flops: int, parameters: int, shape: Shape) -> Row:
    kind, *arguments = operation
    return {
        "name": name,
        "kind": kind,
        "configuration": _CONFIGURATIONS[kind].format(*arguments),
        "flops": flops,
        "parameters": parameters,
        "output": [shape.channels] if kind == "linear" else [shape.channels, shape.size, shape.size],
    }


_CONFIGURATIONS = {
    "conv": "{0}→{1}, {2}×{2}, stride {3}, groups {4}, bias {5}",
    "norm": "{0}",
    "linear": "{0}→{1}, bias {2}",
}
