"""What a network costs: an architecture's file, a baseline, a published design, a space's range, or anyone's own module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import read_json
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from search_spaces import Architecture

Table = dict[str, Any]


def cost(
    name: str,
    *,
    image_size: int | None = None,
    in_channels: int | None = None,
    classes: int | None = None,
    latency: bool = False,
    device: str = "cpu",
) -> Table:
    """Figures of ``name`` as plain data, by default at the design's own paper size.

    Args:
        name: an ``architecture.json``, a baseline (with its options, ``detrac:backbone=vgg19``), a published design
            (``resnet50_like``, …), a space, or ``package.module:factory``.
        image_size: pixels a side; none: the paper's, or the space's.
        in_channels: for a factory: what its module takes (1); others know their own.
        classes: for a baseline or a space; others know their own.
        latency: also build the network and measure how long it takes for one image.
        device: where to measure: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: nothing of that name, an option that does not apply to it or is below 1, or an operator that nobody counts.
    """
    from baselines.registry import baseline_names
    from search_spaces import get_space, space_names
    from search_spaces.table import space_table

    for option, value in (("--image-size", image_size), ("--channels", in_channels), ("--classes", classes)):
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, but got {value}; leave it out for the design's own")
    baseline = name.partition(":")[0] in baseline_names()
    _refuse(in_channels is not None and (baseline or ":" not in name), "--channels", name, "knows its own channels")
    if name.endswith(".json"):
        _refuse(classes is not None, "--classes", name, "knows its own classes")
        table, build = _of_file(Path(name), image_size)
    elif baseline:
        table, build = _of_baseline(name, image_size, classes)
    elif name in space_names():
        _refuse(latency, "--latency", name, "is a space, not one network")
        return space_table(get_space(name, classes=classes or 3, image_size=image_size), image_size)
    elif (design := _design(name)) is not None:
        _refuse(classes is not None, "--classes", name, "knows its own classes")
        table, build = _of_architecture(design[0], image_size or design[1])
        table = {"name": name, **table}
    elif ":" in name:
        _refuse(classes is not None, "--classes", name, "knows its own classes")
        table, build = _of_factory(name, image_size, in_channels or 1)
    else:
        raise InputError(
            f"nothing called {name!r} to cost; give an architecture's .json file, package.module:factory, or a name from: nas list baselines|spaces"
        )
    return table | _measured(build, table, in_channels or 1, device) if latency else table


def _refuse(given: bool, option: str, name: str, reason: str) -> None:
    if given:
        raise InputError(f"{option} does not apply to {name!r}, which {reason}; leave it out")


def _measured(build: Callable[[], nn.Module], table: Table, in_channels: int, device: str) -> Table:
    from nas.engine.context import resolve_device
    from search_spaces.latency import measure_latency

    found = measure_latency(build(), table["image_size"], in_channels=in_channels, device=resolve_device(device))
    return {"latency_ms": found.to_json()}


def _design(name: str) -> tuple[Architecture, int | None] | None:
    """A published design of any space, and its paper's image size."""
    from search_spaces import get_space, space_names

    for space in map(get_space, space_names()):
        if name in space.prototypes():
            return space.prototypes()[name], space.paper_sizes().get(name)
    return None


def _of_file(path: Path, image_size: int | None) -> tuple[Table, Callable[[], nn.Module]]:
    from nas.engine.context import import_plugins_of
    from search_spaces import load_architecture

    import_plugins_of(path)
    origin = read_json(path)
    if not isinstance(origin, dict):
        raise InputError(f"{path} holds no architecture; give the architecture.json of a candidate")
    side = image_size or _beside(path, "preprocessing.json").get("image_size")
    if "baseline" in origin:
        saved = origin["baseline"]
        return _of_baseline(saved["name"], side, len(_beside(path, "manifest.json").get("classes", ())), saved["in_channels"])
    return _of_architecture(load_architecture(origin.get("architecture", origin)), side)


def _beside(path: Path, name: str) -> dict[str, Any]:
    """What a candidate's directory says beside its architecture; nothing where the file lies alone."""
    file = path.parent / name
    return read_json(file) if file.exists() else {}


def _of_architecture(architecture: Architecture, image_size: int | None) -> tuple[Table, Callable[[], nn.Module]]:
    from search_spaces import get_space
    from search_spaces.table import architecture_table

    space = get_space(
        architecture.space, classes=architecture.classes, in_channels=architecture.in_channels, image_size=image_size
    )
    return architecture_table(space, architecture, image_size), lambda: space.build(architecture, image_size)


def _of_baseline(
    name: str, image_size: int | None, classes: int | None, in_channels: int | None = None
) -> tuple[Table, Callable[[], nn.Module]]:
    from baselines.registry import get_baseline
    from search_spaces.table import module_table

    baseline = get_baseline(name)
    side, channels = image_size or baseline.paper_size, in_channels or baseline.paper_channels
    model = baseline.build(classes or baseline.paper_classes, channels, side)
    table = module_table(model, side, 1)
    scale = {"M": 1e6, "G": 1e9}
    sizes = {figure: value for figure, value in baseline.published.items() if figure in ("parameters", "flops")}
    published = {figure: size.value * scale[size.unit] for figure, size in sizes.items()}
    at = "" if side == baseline.paper_size else f"published at {baseline.paper_size} px"
    described = {
        "name": name,
        "title": baseline.title,
        **table,
        "in_channels": channels,
        "published": published,
        "published_notes": {
            figure: "; ".join(filter(None, (size.note, at))) for figure, size in sizes.items() if size.note or at
        },
        "difference": {figure: table[figure] / value - 1 for figure, value in published.items() if value},
    }
    return described, lambda: model


def _of_factory(name: str, image_size: int | None, in_channels: int) -> tuple[Table, Callable[[], nn.Module]]:
    from nas.jobs.models import module_from_factory
    from search_spaces.table import module_table

    if image_size is None:
        raise InputError(f"{name} does not say its image size; add --image-size N")
    model = module_from_factory(name, None)
    return module_table(model, image_size, in_channels), lambda: model
