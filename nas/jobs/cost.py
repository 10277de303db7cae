"""What a network costs: an architecture's file, a baseline, a published design, a space's range, or anyone's own module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.files import read_json
from search_spaces.errors import InputError


def cost(
    name: str, *, image_size: int | None = None, in_channels: int | None = None, classes: int | None = None
) -> dict[str, Any]:
    """Figures of ``name`` as plain data, by default at the design's own paper size.

    Args:
        name: an ``architecture.json``, a baseline, a published design (``covidnet_cxr3b``, …), a space, or
            ``package.module:factory``.
        image_size: pixels a side; none: the paper's, or the space's.
        in_channels: for a factory: what its module takes (1); others know their own.
        classes: for a baseline or a space.

    Raises:
        InputError: nothing of that name, or an operator that nobody counts.
    """
    from baselines.registry import baseline_names
    from search_spaces import get_space, space_names
    from search_spaces.table import module_table, space_table

    if name.endswith(".json"):
        return _of_file(Path(name), image_size)
    if name in baseline_names():
        return _of_baseline(name, image_size, classes)
    if name in space_names():
        return space_table(get_space(name, classes=classes or 3, image_size=image_size), image_size)
    design = _design(name)
    if design is not None:
        return _of_architecture(design.to_json(), image_size)
    if ":" in name:
        from nas.jobs.models import module_from_factory

        if image_size is None:
            raise InputError(f"{name} does not say its image size; add --image-size N")
        return module_table(module_from_factory(name, None), image_size, in_channels or 1)
    raise InputError(
        f"nothing called {name!r} to cost; give an architecture's .json file, package.module:factory, or a name from: nas list baselines|spaces"
    )


def _design(name: str) -> Any:
    from search_spaces import get_space, space_names

    for space in space_names():
        designs = get_space(space).prototypes()
        if name in designs:
            return designs[name]
    return None


def _of_file(path: Path, image_size: int | None) -> dict[str, Any]:
    origin = read_json(path)
    if not isinstance(origin, dict):
        raise InputError(f"{path} holds no architecture; give the architecture.json of a candidate")
    if "baseline" in origin:
        return _of_baseline(str(origin["baseline"].get("name")), image_size, None)
    if image_size is None and (path.parent / "preprocessing.json").exists():
        image_size = read_json(path.parent / "preprocessing.json")["image_size"]
    return _of_architecture(origin.get("architecture", origin), image_size)


def _of_architecture(origin: dict[str, Any], image_size: int | None) -> dict[str, Any]:
    from search_spaces import get_space, load_architecture
    from search_spaces.table import architecture_table

    architecture = load_architecture(origin)
    space = get_space(
        architecture.space, classes=architecture.classes, in_channels=architecture.in_channels, image_size=image_size
    )
    return architecture_table(space, architecture, image_size)


def _of_baseline(name: str, image_size: int | None, classes: int | None) -> dict[str, Any]:
    from baselines.registry import get_baseline
    from search_spaces.table import module_table

    baseline = get_baseline(name)
    side = image_size or baseline.paper_size
    model = baseline.build(classes or baseline.paper_classes, baseline.paper_channels, side)
    table = module_table(model, side, 1)
    scale = {"M": 1e6, "G": 1e9}
    published = {f: v.value * scale[v.unit] for f, v in baseline.published.items() if f in ("parameters", "flops")}
    differences = {figure: table[figure] / value - 1 for figure, value in published.items() if value}
    return {
        "name": name,
        "title": baseline.title,
        **table,
        "in_channels": baseline.paper_channels,
        "published": published,
        "difference": differences,
    }
