"""Counts any ``nn.Module`` by tracing it: fvcore's figures, our handles for what it leaves out, and an error for what nobody counts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn

from search_spaces.errors import InputError, UncountedOperatorError, first_line
from search_spaces.measured import measured_memory

# Operators whose multiply–accumulates are the FLOPs of the published tables.
COUNTED = [
    "conv",
    "linear",
    "addmm",
    "matmul",
    "mm",
    "bmm",
    "baddbmm",
    "einsum",
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "scaled_dot_product_attention",
]
# Without multiply–accumulates worth a table: reported as seen, not counted, and no reason for an error.
_FREE = frozenset(
    [
        "add",
        "add_",
        "sub",
        "sub_",
        "rsub",
        "mul",
        "mul_",
        "div",
        "div_",
        "neg",
        "abs",
        "pow",
        "sqrt",
        "rsqrt",
        "exp",
        "log",
        "log1p",
        "sin",
        "cos",
        "erf",
        "square",
        "clamp_min",
        "clamp_max",
        "prod",
        "logsumexp",
        "sum",
        "mean",
        "max",
        "min",
        "amax",
        "amin",
        "maximum",
        "minimum",
        "var",
        "std",
        "var_mean",
        "norm",
        "linalg_vector_norm",
        "max_pool1d",
        "max_pool2d",
        "max_pool2d_with_indices",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_max_pool2d",
        "adaptive_avg_pool1d",
        "relu6",
        "hardtanh",
        "hardtanh_",
        "leaky_relu",
        "leaky_relu_",
        "elu",
        "elu_",
        "selu",
        "celu",
        "celu_",
        "rrelu",
        "threshold",
        "threshold_",
        "log_sigmoid",
        "prelu",
        "gelu",
        "silu",
        "silu_",
        "mish",
        "hardswish",
        "hardswish_",
        "hardsigmoid",
        "hardsigmoid_",
        "sigmoid",
        "sigmoid_",
        "tanh",
        "tanh_",
        "softplus",
        "softmax",
        "log_softmax",
        "dropout",
        "dropout_",
        "feature_dropout",
        "repeat",
        "repeat_interleave",
        "tile",
        "expand_as",
        "view_as",
        "reshape_as",
        "movedim",
        "swapaxes",
        "flip",
        "pad",
        "reflection_pad2d",
        "replication_pad2d",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "unfold",
        "im2col",
        "clone",
        "lift_fresh",
        "alias",
        "detach_",
        "fill_",
        "zero_",
        "zeros_like",
        "ones_like",
        "where",
        "le",
        "lt",
        "ne",
        "logical_not",
        "logical_and",
        "bitwise_and",
        "cumsum",
        "argmax",
        "sort",
        "topk",
        "triu",
        "tril",
        "ceil",
        "round",
        "sign",
        "upsample_nearest2d",
        "upsample_bicubic2d",
        "embedding",
        "one_hot",
        "meshgrid",
        "linspace",
        "scalar_tensor",
        "tensor",
        "item",
        "numel",
        "unflatten",
        "numpy_T",
        "mT",
        "new_ones",
        "rsub_",
    ]
)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One row of the per-layer table; ``configuration`` tells layers of different shape apart."""

    name: str
    kind: str
    configuration: str
    flops: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Count:
    """What a module costs for one image in evaluation mode.

    Attributes:
        flops: multiply–accumulates of convolutions, linear layers, recurrent layers and attention products.
        parameters: trainable ones.
        memory: measured bytes of activations alive at the peak, float32.
        other_operations: fvcore's figure for normalisation, interpolation and adaptive pooling, which is not in ``flops``.
        operators: ``flops`` by operator.
        layers: one row for each layer that computes or holds parameters.
        uncounted: operators seen that have no multiply–accumulates, with how often.
    """

    flops: int
    parameters: int
    memory: int
    image_size: int
    in_channels: int
    other_operations: int
    operators: dict[str, int]
    layers: tuple[LayerCost, ...]
    uncounted: dict[str, int]

    @property
    def diversity(self) -> int:
        """Distinct layer configurations: the survey's measure of how varied a design is."""
        return len({(layer.kind, layer.configuration) for layer in self.layers})

    def record(self) -> dict[str, Any]:
        """Plain data for ``nas.records.CostRecord``."""
        names = ("flops", "parameters", "memory", "image_size", "in_channels", "other_operations")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**asdict(self), "diversity": self.diversity}


def count(model: nn.Module, image_size: int, in_channels: int = 1) -> Count:
    """Count ``model`` on one image of ``in_channels`` × ``image_size`` × ``image_size``.

    Raises:
        UncountedOperatorError: the model runs an operator that no rule counts; an error, never a silent zero.
        InputError: the model cannot run on such an image.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    image = torch.zeros(1, in_channels, image_size, image_size, device=device)
    with _evaluating(model):
        analysis = _analysed(model, image)
        total = {name: int(flops) for name, flops in analysis.by_operator().items()}
        unsupported = Counter({name.removeprefix("aten::"): n for name, n in analysis.unsupported_ops().items()})
        strange = sorted(name for name in unsupported if name not in _FREE)
        if strange:
            raise UncountedOperatorError(
                f"no rule counts the operator {', '.join(strange)}; register one with search_spaces.counting.register_operator",
                strange,
            )
        by_module = {name: _counted(flops) for name, flops in analysis.by_module_and_operator().items()}
        memory = measured_memory(model, image)
    operators = {name: flops for name, flops in total.items() if name in COUNTED and flops}
    return Count(
        flops=sum(operators.values()),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        memory=memory,
        image_size=image_size,
        in_channels=in_channels,
        other_operations=sum(flops for name, flops in total.items() if name not in COUNTED),
        operators=operators,
        layers=tuple(_layers(model, by_module)),
        uncounted=dict(unsupported),
    )


def register_operator(name: str, handle: Any) -> None:
    """Teach the counter an operator: ``handle(inputs, outputs)`` of traced values → multiply–accumulates, as in fvcore."""
    _HANDLES[f"aten::{name}" if "::" not in name else name] = handle
    COUNTED.append(name.removeprefix("aten::"))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and attention through its counted parts instead of one fused operator."""
    training = {module: module.training for module in model.modules()}
    fused = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, mode in training.items():
            module.training = mode


def _analysed(model: nn.Module, image: torch.Tensor) -> FlopCountAnalysis:
    analysis = FlopCountAnalysis(model, image).set_op_handle(**_HANDLES)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fvcore traces with torch.jit, which torch is retiring
            warnings.simplefilter("ignore", FutureWarning)
            analysis.total()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        size = "×".join(map(str, image.shape[1:]))
        raise InputError(f"the model cannot run on an image of {size}: {first_line(error)}") from error
    return analysis


def _counted(flops: Counter[str]) -> int:
    return int(sum(value for name, value in flops.items() if name in COUNTED))


def _layers(model: nn.Module, flops: dict[str, int]) -> Iterator[LayerCost]:
    for name, module in model.named_modules(remove_duplicate=True):
        inside = sum(flops.get(f"{name}.{child}" if name else child, 0) for child, _ in module.named_children())
        own = flops.get(name, 0) - inside
        parameters = sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad)
        if own > 0 or parameters:
            yield LayerCost(name, type(module).__name__, module.extra_repr(), max(own, 0), parameters)


def _recurrent_flops(inputs: list[Any], _: list[Any]) -> int:
    """Every weight matrix of the layer once for each time step and sequence: 4·h·(i + h) a step for an LSTM."""
    batch_and_time = get_shape(inputs[0])
    steps = batch_and_time[0] * batch_and_time[1] if len(batch_and_time) == 3 else batch_and_time[0]
    lists = [
        value.node().inputs()
        for value in inputs
        if value.type().kind() == "ListType" and value.node().kind() == "prim::ListConstruct"
    ]
    shapes = [get_shape(value) for values in lists for value in values if value.type().kind() == "TensorType"]
    return steps * sum(shape[0] * shape[1] for shape in shapes if shape is not None and len(shape) == 2)


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Queries by keys, then weights by values; (…, l, e), (…, s, e), (…, s, v)."""
    query, key = get_shape(inputs[0]), get_shape(inputs[1])
    value = get_shape(inputs[2])
    pairs = query[-2] * key[-2]
    for size in query[:-2]:
        pairs *= size
    return pairs * (query[-1] + value[-1])


_HANDLES: dict[str, Any] = {
    "aten::lstm": _recurrent_flops,
    "aten::gru": _recurrent_flops,
    "aten::rnn_tanh": _recurrent_flops,
    "aten::rnn_relu": _recurrent_flops,
    "aten::scaled_dot_product_attention": _attention_flops,
}
