"""The PEPX space: networks of the COVID-Net family at full granularity (Wang, Lin & Wong, Sci. Rep. 10:19549, 2020).

A stem, four stages, a head. Each block of each stage has its own kind and widths:

* ``pepx``: 1×1 projection → 1×1 expansion → k×k depthwise → 1×1 second projection → 1×1 extension to the stage's width
* ``prpe``: 1×1 projection → copied ``replication`` times → k×k depthwise → 1×1 second projection → 1×1 extension (CXR-2)
* ``bottleneck``: 1×1 projection → k×k convolution → 1×1 extension
* ``plain``: one 3×3 convolution

Batch normalisation and ReLU stand before every convolution, so that no two 1×1 convolutions merge into one linear map; none
after the extension, whose output joins the stage's running sum. With ``long_range="add"`` every block sees the sum of the
stage's shortcut and all earlier blocks, which is what the dense arrows of the published drawing come to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.catalogue import register_space
from search_spaces.conflict import pareto
from search_spaces.fitted import Corner
from search_spaces.formulas import larger
from search_spaces.network import Spec, block_names
from search_spaces.networked import Ladders, NetworkSpace, Section, near
from search_spaces.operations import Operation, Operations
from search_spaces.published import DESIGNS
from search_spaces.space import Triple, Values

DEPTHS = (4, 5, 8, 4)
KINDS = ("pepx", "prpe", "bottleneck", "plain")
_WIDTHS = (
    (16, 24, 32, 48, 64, 96, 128, 192, 256),
    (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    (24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
    (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048),
)
_INNER = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_BLOCK: dict[str, tuple[Any, ...]] = {
    "kind": KINDS,
    "projection": _INNER,
    "expansion": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536),
    "second_projection": _INNER,
    "kernel": (3, 5, 7),
    "replication": (1, 2, 4),
}
_KIND, _PROJECTION, _EXPANSION, _SECOND, _KERNEL, _REPLICATION = range(len(_BLOCK))
_OFF = [options[0] for options in _BLOCK.values()]  # what stands where a decision does not matter
_INNER_WIDTHS = (_PROJECTION, _EXPANSION, _SECOND)
_MATTER = {  # kind → which of a block's decisions matter
    "pepx": (_KIND, _PROJECTION, _EXPANSION, _SECOND, _KERNEL),
    "prpe": (_KIND, _PROJECTION, _SECOND, _KERNEL, _REPLICATION),
    "bottleneck": (_KIND, _PROJECTION, _KERNEL),
    "plain": (_KIND,),
}
_INNER_OF: dict[str, Callable[[Section], tuple[Any, ...]]] = {  # kind → those of them that follow the kind in its spec
    kind: itemgetter(*inner) if inner else lambda _: () for kind, (_, *inner) in _MATTER.items()
}
_LENGTH = len(_BLOCK)
_AHEAD = 8  # items of a stage's section before its blocks; one more where the stage decides on its stride
_DEAD = [[_OFF * (depth - alive) for alive in range(depth + 1)] for depth in DEPTHS]  # by stage and blocks alive: the rest
_SE_SHARE = 8  # squeeze-and-excitation: hidden width is this part of the stage's


def decisions() -> dict[str, tuple[Any, ...]]:
    """All decisions; the first choice of each but kinds, strides and head layers makes the smallest network."""
    found: dict[str, tuple[Any, ...]] = {
        "stem.width": (8, 16, 24, 32, 48, 64),
        "stem.kernel": (3, 5, 7),
        "stem.stride": (2, 1),
        "stem.pool": ("max3", "none"),
        "long_range": ("off", "add"),
        "head.pool": ("gap", "flatten"),
        "head.layers": (0, 1, 2),
        "head.width": (64, 128, 256, 512, 1024),
    }
    for stage, (depth, widths) in enumerate(zip(DEPTHS, _WIDTHS, strict=True), 1):
        found[f"stage{stage}.depth"] = tuple(range(1, depth + 1))
        found[f"stage{stage}.width"] = widths
        found[f"stage{stage}.squeeze_excitation"] = (False, True)
        if stage > 1:
            found[f"stage{stage}.stride"] = ("last", "first")  # in the last block of the stage before, or the first of this
        for block in range(1, depth + 1):
            found |= {f"stage{stage}.block{block}.{name}": choices for name, choices in _BLOCK.items()}
    return found


@register_space("pepx")
class PepxSpace(NetworkSpace):
    """PEPX, PRPE, bottleneck and plain blocks in four stages, as in COVID-Net: each block with a kind and widths of its own.

    Stage depths reach 4, 5, 8, 4 blocks; published points may hold widths between the choices.
    """

    name = "pepx"
    version = 1
    minimum_image_size = 32
    _published: ClassVar = {"stem.pool": ("max2",)}

    def __init__(
        self,
        classes: int = 3,
        in_channels: int = 1,
        image_size: int | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        super().__init__(decisions(), classes=classes, in_channels=in_channels, image_size=image_size, choices=choices)
        at = self._index
        self._stem = [at[f"stem.{name}"] for name in ("width", "kernel", "stride", "pool")]
        self._long_range = at["long_range"]
        self._head = [at[f"head.{name}"] for name in ("pool", "layers", "width")]
        stages = range(1, len(DEPTHS) + 1)
        self._depth = [at[f"stage{stage}.depth"] for stage in stages]
        self._width = [at[f"stage{stage}.width"] for stage in stages]
        self._se = [at[f"stage{stage}.squeeze_excitation"] for stage in stages]
        self._stride = [at.get(f"stage{stage}.stride", -1) for stage in stages]
        self._blocks = [[at[f"stage{s}.block{b}.kind"] for b in range(1, depth + 1)] for s, depth in enumerate(DEPTHS, 1)]
        self._stem_of, self._head_of = itemgetter(*self._stem), itemgetter(*self._head)
        # Each stage's decisions stand together: where they start, with its depth and width, and where its blocks do.
        self._spans = [(start, blocks[0]) for start, blocks in zip(self._depth, self._blocks, strict=True)]
        firsts = [first for blocks in self._blocks for first in blocks]
        self._inner_stage = np.array([stage for stage, blocks in enumerate(self._blocks) for _ in blocks])
        self._drawn = [*self._width, *(first + inner for inner in _INNER_WIDTHS for first in firsts)]
        self._ladders = Ladders([self._choices[position] for position in self._drawn])

    def prototypes(self) -> dict[str, Architecture]:
        """The COVID-Net family and a ResNet-50-like network; grey replicated to three channels, as published."""
        return {name: self.architecture(design.choices, in_channels=3) for name, design in DESIGNS.items()}

    def paper_sizes(self) -> dict[str, int]:
        """The pixels a side at which each prototype was published."""
        return {name: design.image_size for name, design in DESIGNS.items()}

    # --- which decisions matter -----------------------------------------------------------------------------------

    def _active(self, values: Values) -> list[int]:
        found = [*self._stem, self._long_range, *self._head[:2]]
        if values[self._head[1]]:
            found.append(self._head[2])
        for stage, blocks in enumerate(self._blocks):
            found += [self._depth[stage], self._width[stage], self._se[stage]]
            if stage:
                found.append(self._stride[stage])
            for first in blocks[: values[self._depth[stage]]]:
                found += [first + place for place in _MATTER[values[first]]]
        return found

    def _canonical(self, values: Values) -> Values:
        if not values[self._head[1]]:
            values[self._head[2]] = self._off[self._head[2]]
        for (start, first), dead_by_depth in zip(self._spans, _DEAD, strict=True):
            for _ in range(values[start]):
                kind = values[first]
                if kind == "pepx":
                    values[first + _REPLICATION] = _OFF[_REPLICATION]
                elif kind == "prpe":
                    values[first + _EXPANSION] = _OFF[_EXPANSION]
                elif kind == "bottleneck":
                    values[first + _EXPANSION], values[first + _SECOND] = _OFF[_EXPANSION], _OFF[_SECOND]
                    values[first + _REPLICATION] = _OFF[_REPLICATION]
                else:
                    values[first + 1 : first + _LENGTH] = _OFF[1:]
                first += _LENGTH
            dead = dead_by_depth[values[start]]
            if dead:
                values[first : first + len(dead)] = dead
        return values

    # --- the network ----------------------------------------------------------------------------------------------

    def _specs(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Spec]:
        return [spec for section in self._sections(values, in_channels, classes) for spec in self._specs_of(section)]

    def _sections(self, values: Sequence[Any], in_channels: int, classes: int) -> list[Section]:
        add, last = values[self._long_range] == "add", len(DEPTHS) - 1
        pool, layers, hidden = self._head_of(values)
        sections: list[Section] = [("stem", in_channels, *self._stem_of(values))]
        channels, leaves = sections[0][2], 1
        for stage, (start, first) in enumerate(self._spans):
            enters = (
                2 if stage and leaves == 1 else 1
            )  # each stage but the first halves the picture on its way in, or the one before at its end
            leaves = 2 if stage < last and values[self._stride[stage + 1]] == "last" else 1
            sections.append((stage, channels, add, enters, leaves, *values[start : first + _LENGTH * values[start]]))
            channels = values[start + 1]
        sections.append(("head", channels, classes, pool, *[hidden] * layers))
        return sections

    def _specs_of(self, section: Section) -> list[Spec]:
        if type(section[0]) is str:
            return [section]
        stage, channels, add, enters, leaves, depth, width, se = section[:_AHEAD]
        specs: list[Spec] = []
        first = _AHEAD + 1 if stage else _AHEAD  # after the decision on the stride, which the first stage lacks
        for place in range(depth):
            stride = (1 if place else enters) * (leaves if place == depth - 1 else 1)
            shortcut = "none" if not add else "sum" if place else "convolution"
            kind = section[first]
            inner = _INNER_OF[kind](section[first : first + _LENGTH])
            specs.append((kind, channels, width, stride, shortcut, se, *inner))
            channels = width
            first += _LENGTH
        return specs

    def _names(self, values: Sequence[Any]) -> Sequence[str]:
        return block_names(tuple([values[position] for position in self._depth]))

    @staticmethod
    def _operations(spec: Spec, size: int) -> tuple[Operations, Operations | None]:
        match spec:
            case ("stem", inputs, width, kernel, stride, pool):
                pooling = {"none": (), "max2": (("maxpool", 2, 2, 0),), "max3": (("maxpool", 3, 2, 1),)}[pool]
                return (("conv", inputs, width, kernel, stride, 1, False), ("norm", width), ("act", "relu"), *pooling), None
            case ("head", channels, classes, pool, *hidden):
                return _head(channels, classes, pool, hidden, size), None
            case (kind, inputs, outputs, stride, shortcut, se, *inner):
                branch = _branch(kind, inputs, outputs, stride, *inner)
                if se:
                    branch += (("se", outputs, larger(8, outputs // _SE_SHARE)),)
                if shortcut == "none":
                    return branch, None
                if shortcut == "convolution":
                    return branch, (("conv", inputs, outputs, 1, stride, 1, True),)
                return branch, (("subsample", stride),)
        raise ValueError(f"unknown block {spec!r}")

    # --- proposals ------------------------------------------------------------------------------------------------

    def _width_names(self) -> Iterator[str]:
        inner = ("width", "projection", "expansion", "second_projection")
        return (name for name in self.names if name.rpartition(".")[2] in inner)

    def _draw_places(self, n: int, rng: np.random.Generator, reach: float) -> np.ndarray:
        places = self._uniform_places(n, rng, reach)
        growth = np.exp2(np.concatenate([rng.uniform(4, 7, (n, 1)), rng.uniform(0, 1.3, (n, len(DEPTHS) - 1))], axis=1))
        levels = np.cumprod(growth, axis=1)  # widths grow with depth, and a block's inner widths go with its stage's
        inner = _inner_targets(levels[:, self._inner_stage], rng.random((3, n, len(self._inner_stage))))
        places[:, self._drawn] = self._ladders.places(np.concatenate([levels, *inner], axis=1))
        return places

    def _refresh(self, values: Values, fresh: list[int], rng: np.random.Generator) -> None:
        drawn = self._draw_raw(1, rng)[0]
        for stage, blocks in enumerate(self._blocks):
            for first in blocks[: values[self._depth[stage]]]:
                if any(first <= position < first + len(_BLOCK) for position in fresh):
                    targets = _inner_targets(values[self._width[stage]], rng.random(3))
                    for offset, target in zip(_INNER_WIDTHS, targets, strict=True):
                        drawn[first + offset] = near(self._choices[first + offset], float(target))
        for position in fresh:
            values[position] = drawn[position]

    # --- the smallest reachable cost ------------------------------------------------------------------------------

    def _cheapest(self) -> dict[int, Any]:
        enumerated = {*self._head[:2], *self._stride[1:], *(first for blocks in self._blocks for first in blocks)}
        return {at: self._choices[at][0] for at in range(len(self.names)) if at not in enumerated}

    def _corner_values(self, key: tuple[int, int, int]) -> Iterator[Values]:
        """As the base, but kinds are settled block by block: sums and maxima only ever keep what is Pareto-smallest."""
        cheapest = self._cheapest()
        base = [cheapest.get(position, options[0]) for position, options in enumerate(self._choices)]
        free = [*(position for position in self._stride[1:]), self._head[1]]
        for combination in product(*(self._choices[position] for position in free)):
            values = list(base)
            for position, value in zip(free, combination, strict=True):
                values[position] = value
            yield from self._best_kinds(values, key)

    def _compromises(self, budget: Budget, in_channels: int, classes: int) -> Iterator[Corner]:
        """The corners with a flattened head: where the last map is one pixel that is as small, and has no bias."""
        key = self._size(budget.image_size), in_channels, classes
        if "flatten" in self._choices[self._head[0]]:
            for corner in self._corners(*key):
                values = list(corner.values)
                values[self._head[0]] = "flatten"
                yield Corner(self._figures(values, *key), tuple(values))

    def _best_kinds(self, values: Values, key: tuple[int, int, int]) -> list[Values]:
        kinds = [first for stage, blocks in enumerate(self._blocks) for first in blocks[: values[self._depth[stage]]]]
        front: list[tuple[Triple, Values]] = [((0, 0, 0), values)]
        for place, first in enumerate(kinds, 1):  # the block's place in the network: the stem is 0
            grown = []
            for _, partial in front:
                for kind in self._choices[first]:
                    changed = list(partial)
                    changed[first] = kind
                    grown.append((self._figures_up_to(self._canonical(list(changed)), key, place + 1), changed))
            front = pareto(grown)
        return [self._canonical(changed) for _, changed in front]


def _inner_targets(width: Any, shares: Any) -> tuple[Any, Any, Any]:
    """Projection, expansion, second projection for three uniform shares: 1/16 to 1/2 of the stage's width, 1 to 8 times that, 1/16 to 1/2."""
    narrow, ratio, second = shares
    projection = width * np.exp2(-4 + 3 * narrow)
    return projection, projection * np.exp2(3 * ratio), width * np.exp2(-4 + 3 * second)


def _head(channels: int, classes: int, pool: str, hidden: Sequence[int], size: int) -> Operations:
    inputs = channels if pool == "gap" else channels * size**2
    chain: list[Operation] = [("norm", channels), ("act", "relu"), ("gap",) if pool == "gap" else ("flatten",)]
    for width in hidden:
        chain += [("linear", inputs, width, True), ("act", "relu")]
        inputs = width
    bias = pool == "gap" or bool(hidden)  # the published 480-pixel designs end in a bias-free matrix on the flattened map
    return (*chain, ("linear", inputs, classes, bias))


def _branch(kind: str, inputs: int, outputs: int, stride: int, *inner: int) -> Operations:
    if kind == "plain":
        return _step(inputs, outputs, 3, stride, bias=True)
    if kind == "bottleneck":
        narrow, kernel = inner
        return _step(inputs, narrow, 1) + _step(narrow, narrow, kernel, stride) + _step(narrow, outputs, 1, bias=True)
    if kind == "pepx":
        narrow, wide, second, kernel = inner
        chain = _step(inputs, narrow, 1) + _step(narrow, wide, 1)
    else:
        narrow, second, kernel, times = inner
        wide = narrow * times
        chain = (*_step(inputs, narrow, 1), ("replicate", times))
    chain += _step(wide, wide, kernel, stride, groups=wide)
    return chain + _step(wide, second, 1) + _step(second, outputs, 1, bias=True)


def _step(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False) -> Operations:
    return (("step", inputs, outputs, kernel, stride, groups, bias),)
