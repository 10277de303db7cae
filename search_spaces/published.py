"""The published designs of the COVID-Net family as points of the PEPX space.

The authors published the stage depths and widths and the networks' sizes, never the widths inside the blocks. These are
*calibrated reconstructions*: inner widths chosen so that parameters and multiply–accumulates meet the published totals.
They match size, they are not the true widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Widths = tuple[int, int, int]  # projection, expansion, second projection


class Design(NamedTuple):
    """A published design; ``published`` holds the source's own totals, to stand beside ours."""

    title: str
    image_size: int
    classes: int
    choices: dict[str, Any]
    published: dict[str, float]
    note: str


def _network(
    depths: tuple[int, ...], outputs: tuple[int, ...], blocks: Mapping[int, dict[str, Any]], **top: Any
) -> dict[str, Any]:
    """Choices with the same block throughout each stage; ``top`` overrides what stands outside the stages."""
    found: dict[str, Any] = {
        "stem.width": 64,
        "stem.kernel": 7,
        "stem.stride": 2,
        "stem.pool": "max3",
        "long_range": "add",
        "head.pool": "flatten",
        "head.layers": 0,
        **{name.replace("__", "."): value for name, value in top.items()},
    }
    for stage, (depth, output) in enumerate(zip(depths, outputs, strict=True), 1):
        found |= {f"stage{stage}.depth": depth, f"stage{stage}.width": output, f"stage{stage}.squeeze_excitation": False}
        if stage > 1:
            found.setdefault(f"stage{stage}.stride", "last")
        for block in range(1, depth + 1):
            found |= {f"stage{stage}.block{block}.{name}": value for name, value in blocks[stage].items()}
    return found


def _pepx(widths: tuple[Widths, ...]) -> dict[int, dict[str, Any]]:
    names = ("projection", "expansion", "second_projection")
    return {s: {"kind": "pepx", "kernel": 3, **dict(zip(names, w, strict=True))} for s, w in enumerate(widths, 1)}


def _prpe(widths: tuple[int, ...], replication: int) -> dict[int, dict[str, Any]]:
    same = {"kind": "prpe", "kernel": 3, "replication": replication}
    return {stage: {**same, "projection": width, "second_projection": width} for stage, width in enumerate(widths, 1)}


_DEPTHS = (3, 4, 6, 3)  # ResNet-50's, from which the family descends
_OUTPUTS = (256, 512, 1024, 2048)
_SMALL = _network(
    _DEPTHS,
    _OUTPUTS,
    _pepx(((48, 128, 48), (96, 256, 96), (192, 512, 192), (384, 1024, 384))),
    head__layers=2,
    head__width=1024,
)
_CXR3_B = _network(_DEPTHS, _OUTPUTS, _pepx(((32, 184, 24), (64, 384, 48), (128, 768, 96), (256, 1536, 200))))
_CXR_2 = _network(
    _DEPTHS,
    (160, 328, 640, 2048),
    _prpe((40, 82, 160, 336), 2),
    stem__width=48,
    stem__pool="max2",
    stage2__stride="first",
    stage3__stride="first",
    stage4__stride="first",
)
_RESNET = _network(
    _DEPTHS,
    _OUTPUTS,
    {stage: {"kind": "bottleneck", "kernel": 3, "projection": 32 * 2**stage} for stage in (1, 2, 3, 4)},
    head__pool="gap",
)

DESIGNS: dict[str, Design] = {
    "covidnet_small": Design(
        "COVID-Net CXR-Small",
        224,
        3,
        _SMALL,
        {"parameters": 117.4e6, "flops": 2.26e9},
        "calibrated reconstruction; stride in the last block of stages 1–3",
    ),
    "covidnet": Design(
        "COVID-Net CXR3-B, the journal model",
        480,
        3,
        _CXR3_B,
        {"parameters": 11.75e6, "flops": 7.50e9},
        "calibrated reconstruction; first-stage expansion and last-stage second projection are set so that trainable "
        "parameters alone, without the moving statistics of the normalisation, come to 11.80 M",
    ),
    "covidnet_cxr2": Design(
        "COVID-Net CXR-2",
        480,
        2,
        _CXR_2,
        {"parameters": 8.8e6, "flops": 5.55e9},
        "calibrated reconstruction with replication 2; stride in the first block of stages 2–4",
    ),
    "resnet50_like": Design(
        "ResNet-50-like",
        224,
        3,
        _RESNET,
        {},
        "pre-activation bottlenecks with ResNet-50's depths and widths: the skeleton from which COVID-Net descends",
    ),
}
