"""What is installed: spaces, baselines, samplers, readers, audit tests; and published designs by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nas.files import read_json, texts
from search_spaces.errors import InputError


def listing(kind: str) -> list[dict[str, Any]]:
    """One row a plug-in, each with ``name`` and ``description``; an unknown kind raises ``InputError``."""
    kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "spaces": _spaces,
        "baselines": _baselines,
        "samplers": _samplers,
        "readers": _readers,
        "audits": _audits,
    }
    if kind not in kinds:
        raise InputError(f"nas list knows {', '.join(kinds)}, but got {kind!r}")
    return kinds[kind]()


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]


def _spaces() -> list[dict[str, Any]]:
    from search_spaces import get_space, space_names

    return [{"name": name, "description": _first_line(get_space(name))} for name in space_names()]


def _baselines() -> list[dict[str, Any]]:
    from baselines.costs import size_of
    from baselines.registry import baseline_names, get_baseline
    from nas.report import formatting as fmt

    rows = []
    for name in baseline_names():
        baseline = get_baseline(name)
        try:
            size = size_of(baseline)
        except Exception as error:  # anyone's code: the list goes on
            figures = f"not built, {type(error).__name__}: {error}"
            rows.append({"name": name, "description": f"{baseline.title}: {figures}", "flops": None, "parameters": None})
            continue
        figures = f"{fmt.si(size.parameters, 4)} parameters, {fmt.flops(size.flops)} at {size.image_size} px"
        rows.append({"name": name, "description": f"{baseline.title}: {figures}", **size._asdict()})
    return rows


def _samplers() -> list[dict[str, Any]]:
    from nas.generator import sampler_descriptions

    return [{"name": name, "description": text} for name, text in sampler_descriptions().items()]


def _readers() -> list[dict[str, Any]]:
    from nas.data import reader_descriptions

    return [{"name": name, "description": text} for name, text in reader_descriptions().items()]


def _audits() -> list[dict[str, Any]]:
    from nas.inquisitor import audit_descriptions

    return [{"name": name, "description": text} for name, text in audit_descriptions().items()]


def prototype(name: str, space: str | None, imports: str | Sequence[str] = ()) -> dict[str, Any]:
    """An architecture by the name of a published design of a space, which modules in ``imports`` may bring, or from a JSON file."""
    from nas.engine.context import import_plugins
    from search_spaces import get_space, load_architecture

    import_plugins(texts(imports))
    path = Path(name)
    if path.suffix == ".json":
        return load_architecture(read_json(path)).to_json()
    designs = get_space(space or "pepx").prototypes()
    if name not in designs:
        raise InputError(
            f"unknown prototype {name!r}; known: {', '.join(designs) or 'none in this space'}, or an architecture's .json file"
        )
    return designs[name].to_json()
