"""More architectures from a search's generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.engine.directory import RunDirectory
from nas.files import read_json, understanding, write_json
from search_spaces import Budget, get_space
from search_spaces.errors import InputError


def generate(run: Path, *, n: int = 10, budget: str | None = None, out: Path | None = None) -> list[dict[str, Any]]:
    """``n`` further distinct architectures from what a search has learnt, best expected first, each with its cost.

    Args:
        run: a run directory of a search by the generator.
        budget: another budget than the search's.
        out: a folder for one ``KEY.json`` each.

    Raises:
        InputError: no generator was saved there, the budget is impossible, or fewer than ``n`` are left within it.
    """
    from nas.engine.context import import_plugins
    from nas.generator import GeneratorSampler

    directory = RunDirectory(run)
    if not directory.generator.exists():
        raise InputError(f"{run} has no saved generator (generator.json); {_whence(directory)}")
    if n < 1:
        raise InputError(f"--n must be at least 1, but got {n}")
    settings = directory.stored_settings()
    with understanding(directory.data):
        classes = len(read_json(directory.data)["classes"])
    import_plugins(settings.imports)
    space = get_space(settings.space, classes=classes, in_channels=1, image_size=settings.image_size)
    with understanding(directory.generator):
        sampler = GeneratorSampler.from_state(read_json(directory.generator), space)
    bound = None if budget is None else Budget.parse(budget, image_size=settings.image_size)
    found = sampler.generate(n, bound)
    if len(found) < n:
        left = f"only {len(found)} that the search has not seen are left within the budget" if found else "none is left"
        raise InputError(f"--n asks for {n} further architectures, but {left}; ask for fewer, or widen --budget")
    rows = []
    for architecture in found:
        cost = space.cost(architecture, settings.image_size)
        rows.append({"key": architecture.key, **cost.record(), "architecture": architecture.to_json()})
        if out is not None:
            write_json(out / f"{architecture.key}.json", architecture.to_json())
    return rows


def _whence(directory: RunDirectory) -> str:
    """Where a generator comes from, for a directory that has none."""
    if directory.record.exists():
        sampler = directory.stored_settings().sampler
        return f"its search was by the sampler {sampler!r}, which learns none: search anew into another --out with --sampler generator"
    if directory.settings.exists():
        return f"its search has not ended; go on with it: nas search --resume --out {directory.path}"
    return "name the directory of a search by the generator (nas search --out DIR)"
