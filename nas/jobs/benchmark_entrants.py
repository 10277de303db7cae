"""Who competes: candidates of our searches, rebuilt from their architecture, and the baselines; all trained alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from baselines import Recipe, baseline_names, get_baseline
from nas.engine.directory import RunDirectory, read_search, run_of
from nas.engine.objective import cost_record
from nas.files import read_json
from nas.jobs.benchmark_settings import BenchmarkSettings
from nas.records import CandidateRecord, CostRecord
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from baselines.registry import Fit


@dataclass(frozen=True)
class Entrant:
    """One model of the benchmark.

    Attributes:
        build: (image size) → untrained network.
        recipe: how it is trained here. fit: its staged training, where that applies.
        origin: what ``save_candidate`` stores to build it again.
        weights: loads ImageNet weights in place from a folder; None where there are none.
        leaks: why its scores are not to be trusted.
        architecture: of a candidate, as JSON; cost: its analytic cost at an image size.
    """

    name: str
    kind: Literal["candidate", "baseline"]
    build: Callable[[int], nn.Module]
    recipe: Recipe
    in_channels: int
    origin: dict[str, Any]
    fit: Fit | None = None
    weights: Callable[[Any, Path | None], str] | None = None
    cost: Callable[[int], CostRecord] | None = None
    note: str = ""
    leaks: str = ""
    minimum_size: int = 1
    published: dict[str, Any] = field(default_factory=dict)


def baselines_asked(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """``"all"``, ``"none"``, ``"a,b"`` or a list as a tuple of names; each is looked up, so that a misspelt one is refused first."""
    if names is None or names == "none":
        return ()
    listed = names.split(",") if isinstance(names, str) else list(names)
    asked = [name.strip() for name in listed if name.strip()]
    if asked == ["all"]:
        return tuple(baseline_names())
    for name in asked:
        get_baseline(name)
    return tuple(dict.fromkeys(asked))


def entrants(settings: BenchmarkSettings, classes: int) -> tuple[Entrant, ...]:
    """Everyone who competes, candidates first.

    Raises:
        InputError: no model at all, a directory without an architecture, or images too small for a baseline.
    """
    found = [entrant for model in settings.models for entrant in _candidates(Path(model), settings, classes)]
    found += [_baseline(name, settings, classes) for name in settings.baselines]
    if not found:
        raise InputError("a benchmark needs at least one model; name a run's directory, or --baselines all")
    names = [entrant.name for entrant in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]!r} competes twice; name each model once")
    return tuple(found)


def _own_recipe(settings: BenchmarkSettings, own: Recipe) -> Recipe:
    recipe = settings.shared if settings.recipe == "shared" else own
    return recipe if settings.epochs is None else recipe.model_copy(update={"epochs": settings.epochs})


def _baseline(name: str, settings: BenchmarkSettings, classes: int) -> Entrant:
    baseline = get_baseline(name)
    baseline.check(classes, baseline.paper_channels, settings.image_size)
    staged = baseline.fit is not None and (settings.recipe == "paper" or baseline.fit_is_method)
    notes = [
        baseline.note,
        "reconstruction" if baseline.reconstruction else "",
        f"LEAKS: {baseline.leaks}" if baseline.leaks else "",
    ]
    return Entrant(
        name=name,
        kind="baseline",
        build=lambda size: baseline.build(classes, baseline.paper_channels, size),
        recipe=_own_recipe(settings, baseline.recipe),
        in_channels=baseline.paper_channels,
        origin={"baseline": {"name": name, "in_channels": baseline.paper_channels}},
        fit=baseline.fit if staged else None,
        weights=baseline.weights,
        note="; ".join(note for note in notes if note),
        leaks=baseline.leaks,
        minimum_size=baseline.minimum_size,
    )


def _candidates(path: Path, settings: BenchmarkSettings, classes: int) -> list[Entrant]:
    """All finalists of a run, best first; or the one candidate of a candidate's directory."""
    if (path / "run.json").exists():
        record = read_search(path)
        own = _searched(path, settings)
        titles: dict[str, list[str]] = {candidate.key: [] for candidate in record.front}
        for word, chosen in (("best", record.best), ("winner", record.winner)):
            if chosen is not None:
                titles[chosen.key].append(word)
        return [
            _candidate(
                candidate.architecture,
                settings,
                classes,
                own,
                f"{', '.join(titles[candidate.key])} of {path.name}{_without(candidate)}".lstrip(" "),
            )
            for candidate in record.front
        ]
    if not (path / "architecture.json").exists():
        raise InputError(
            f"{path} holds neither a finished search (run.json) nor a candidate (architecture.json); check the path"
        )
    origin = read_json(path / "architecture.json")
    if "baseline" in origin:
        return [_baseline(origin["baseline"]["name"], settings, classes)]
    return [_candidate(origin.get("architecture", origin), settings, classes, _searched(path, settings), f"from {path.name}")]


def _searched(path: Path, settings: BenchmarkSettings) -> Recipe:
    """What the search of a run or candidate trained its finalists by; the shared recipe for a candidate that lies in no run."""
    run = run_of(path)
    if run is None:
        return settings.shared
    stored = RunDirectory(run).stored_settings()
    return stored.recipe.model_copy(update={"epochs": stored.full_epochs})


def _without(candidate: CandidateRecord) -> str:
    """That a benchmark, which trains all alike, leaves out what cured a candidate in its search."""
    if not candidate.answered.get("cured"):
        return ""
    return f"; trained here without the options that cured it there ({', '.join(candidate.answered['answers'])})"


def _candidate(data: dict[str, Any], settings: BenchmarkSettings, classes: int, own: Recipe, note: str) -> Entrant:
    from search_spaces import get_space, load_architecture

    architecture = load_architecture(data)
    space = get_space(architecture.space, classes=classes, in_channels=architecture.in_channels, image_size=settings.image_size)
    if architecture.classes != classes:
        architecture = space.architecture(dict(architecture), in_channels=architecture.in_channels)

    def cost(image_size: int) -> CostRecord:
        return cost_record(space, architecture, image_size)

    return Entrant(
        name=architecture.key,
        kind="candidate",
        build=lambda size: space.build(architecture, size),
        recipe=_own_recipe(settings, own),
        in_channels=architecture.in_channels,
        origin={"architecture": architecture},
        cost=cost,
        note=note,
        minimum_size=space.minimum_image_size,
    )
