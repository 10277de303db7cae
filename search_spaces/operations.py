"""The elementary operations that blocks are made of, and what each costs: one description, from which cost and module both follow.

An operation is a plain tuple whose first item is its kind:

* ``("conv", in, out, kernel, stride, groups, bias)``, padded by ``kernel // 2``
* ``("step", in, out, kernel, stride, groups, bias)``: batch normalisation and ReLU before such a convolution
* ``("norm", channels)``: batch normalisation; ``("act", "relu" | "relu6" | "silu")``
* ``("maxpool", kernel, stride, padding)``, ``("subsample", stride)`` (every stride-th pixel, a view)
* ``("replicate", times)``: copies of all channels, one after another
* ``("se", channels, hidden)``: squeeze-and-excitation
* ``("gap",)``, ``("flatten",)``, ``("linear", in, out, bias)``
* ``("fork", operations, operations)``: both read the same input, their outputs are concatenated

Memory is counted in float32 elements alive at once, with the input of a block held by its caller.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from search_spaces.formulas import larger

Operation = tuple[Any, ...]
Operations = tuple[Operation, ...]
_INDEX_ELEMENTS = 2  # max-pooling also returns 64-bit positions: two float32 elements for each output


class Shape(NamedTuple):
    """A feature map ``(channels, size, size)``; a flat vector has size 1."""

    channels: int
    size: int

    @property
    def elements(self) -> int:
        return self.channels * self.size**2


class Block(NamedTuple):
    """A named block. ``shortcut`` None: the branch alone; ``()``: plus the input; else: plus these operations of the input."""

    name: str
    branch: Operations
    shortcut: Operations | None = None


class Tally(NamedTuple):
    """What a chain of operations costs and where it ends; ``peak`` counts elements alive, the input among them."""

    flops: int
    parameters: int
    peak: int
    other: int
    shape: Shape


class _Effect(NamedTuple):
    shape: Shape
    flops: int = 0
    parameters: int = 0
    other: int = 0
    allocates: bool = True
    extra: int = 0  # elements alive beside input and output
    inner: int | None = None  # elements alive at a peak inside the operation, after its own input was let go


def halve(size: int, stride: int) -> int:
    """The side of a padded, strided operation's output."""
    return (size - 1) // stride + 1


def _conv(shape: Shape, inputs: int, outputs: int, kernel: int, stride: int, groups: int, bias: bool) -> _Effect:
    size = halve(shape.size, stride)
    weights = inputs // groups * outputs * kernel**2
    return _Effect(Shape(outputs, size), weights * size**2, weights + bias * outputs)


def _step(shape: Shape, inputs: int, outputs: int, kernel: int, stride: int, groups: int, bias: bool) -> _Effect:
    out, flops, weights, *_ = _conv(shape, inputs, outputs, kernel, stride, groups, bias)
    elements = shape.elements
    inner = elements + larger(elements, out.elements)
    return _Effect(out, flops, weights + 2 * inputs, 2 * elements, inner=inner)


def _norm(shape: Shape, channels: int) -> _Effect:
    return _Effect(shape, parameters=2 * channels, other=shape.elements)


def _act(shape: Shape, _: str) -> _Effect:
    return _Effect(shape, other=shape.elements)


def _maxpool(shape: Shape, kernel: int, stride: int, padding: int) -> _Effect:
    pooled = Shape(shape.channels, (shape.size + 2 * padding - kernel) // stride + 1)
    return _Effect(pooled, other=pooled.elements, extra=_INDEX_ELEMENTS * pooled.elements)


def _subsample(shape: Shape, stride: int) -> _Effect:
    return _Effect(Shape(shape.channels, halve(shape.size, stride)), allocates=False)


def _replicate(shape: Shape, times: int) -> _Effect:
    return _Effect(Shape(shape.channels * times, shape.size))


def _se(shape: Shape, channels: int, hidden: int) -> _Effect:
    weights = 2 * channels * hidden
    other = 2 * shape.elements + hidden + channels
    return _Effect(shape, weights, weights + hidden + channels, other, extra=channels)


def _gap(shape: Shape) -> _Effect:
    return _Effect(Shape(shape.channels, 1), other=shape.channels)


def _flatten(shape: Shape) -> _Effect:
    return _Effect(Shape(shape.elements, 1), allocates=False)


def _linear(_: Shape, inputs: int, outputs: int, bias: bool) -> _Effect:
    return _Effect(Shape(outputs, 1), inputs * outputs, inputs * outputs + bias * outputs)


def _fork(shape: Shape, first: Operations, second: Operations) -> _Effect:
    one, two = tally(first, shape), tally(second, shape)
    joined = Shape(one.shape.channels + two.shape.channels, one.shape.size)
    # Alive beside input and output: both halves while they are joined; or the second half's peak beside the first half.
    working = larger(one.peak, one.shape.elements + two.peak) - shape.elements - joined.elements
    extra = larger(joined.elements, working)
    return _Effect(joined, one.flops + two.flops, one.parameters + two.parameters, one.other + two.other, extra=extra)


_EFFECTS = {
    "conv": _conv,
    "step": _step,
    "norm": _norm,
    "act": _act,
    "maxpool": _maxpool,
    "subsample": _subsample,
    "replicate": _replicate,
    "se": _se,
    "gap": _gap,
    "flatten": _flatten,
    "linear": _linear,
    "fork": _fork,
}


def expanded(operation: Operation) -> Operations:
    """A step as the three simple operations that it stands for; anything else as itself."""
    if operation[0] != "step":
        return (operation,)
    return ("norm", operation[1]), ("act", "relu"), ("conv", *operation[1:])


def tally(operations: Operations, shape: Shape) -> Tally:
    """Walk a chain of operations that starts at ``shape``; sizes may be unknown (``search_spaces.formulas``)."""
    held = peak = shape.elements
    current: Any = 0  # elements of the running tensor, while it is not (a view of) the held input
    flops = parameters = other = 0
    for operation in operations:
        effect: _Effect = _EFFECTS[operation[0]](shape, *operation[1:])  # type: ignore[operator]  # each kind takes its own arguments
        shape, more_flops, more_parameters, more_other, allocates, extra, inner = effect
        flops, parameters, other = flops + more_flops, parameters + more_parameters, other + more_other
        if allocates:
            elements = shape.elements
            peak = larger(peak, held + (current + elements + extra if inner is None else inner))
            current = elements
    return Tally(flops, parameters, peak, other, shape)


def block_tally(branch: Operations, shortcut: Operations | None, shape: Shape) -> Tally:
    """The tally of a block: its branch, its shortcut, and their sum."""
    main = tally(branch, shape)
    if shortcut is None:
        return main
    side = tally(shortcut, shape)
    outputs = main.shape.elements
    allocated = side.shape.elements if any(operation[0] != "subsample" for operation in shortcut) else 0
    peak = larger(larger(main.peak, outputs + side.peak), shape.elements + outputs + allocated + outputs)
    return Tally(
        main.flops + side.flops, main.parameters + side.parameters, peak, main.other + side.other + outputs, main.shape
    )
