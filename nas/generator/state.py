"""What a generator has learnt, to and from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nas.generator.generator import Generator
from nas.generator.history import History, Observation
from nas.generator.options import GeneratorOptions
from search_spaces.budget import Budget
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.generator.representation import Proxies
    from search_spaces.space import SearchSpace

FORMAT = 1
_PLAIN = ("standard_error", "violation", "block_importances", "complete")


def dump_state(generator: Generator, history: History) -> dict[str, Any]:
    """JSON-able: θ_G, the log of its updates, and the observations that the surrogate stands on."""
    return {
        "format": FORMAT,
        "space": generator.space.name,
        "space_version": generator.space.version,
        "budget": None if generator.budget is None else generator.budget.to_json(),
        "seed": generator.seed,
        "options": asdict(generator.options) | {"parts": list(generator.options.parts)},
        "prototype": None if generator.prototype is None else generator.prototype.to_json(),
        "theta": generator.distribution.to_json(),
        "log": generator.log,
        "observations": [
            {field: getattr(o, field) for field in _PLAIN}
            | {"architecture": o.architecture.to_json(), "values": list(o.values)}
            for o in history.observations
        ],
        "pending": [architecture.to_json() for architecture in history.pending],
        "seen": sorted(history.seen),
    }


def load_state(state: Mapping[str, Any], space: SearchSpace, proxies: Proxies | None = None) -> tuple[Generator, History]:
    """The inverse of ``dump_state``.

    Raises:
        InputError: another format, or a state of another space or of one with other decisions.
    """
    if state.get("format") != FORMAT:
        raise InputError(f"generator state has format {state.get('format')!r}; this version reads format {FORMAT}")
    if state["space"] != space.name:
        raise InputError(f"generator state is of space {state['space']!r}, but the space is {space.name!r}; give that one")
    sizes = {name: len(probabilities) for name, probabilities in state["theta"].items()}
    if strange := sorted(sizes.items() ^ {name: len(choices) for name, choices in space.decisions.items()}.items()):
        raise InputError(
            f"generator state is of space {space.name!r} with other choices of {strange[0][0]!r} than this space has; give the one searched"
        )
    budget = None if state["budget"] is None else Budget.from_json(state["budget"])
    prototype = None if state["prototype"] is None else space.from_json(state["prototype"])
    options = GeneratorOptions.of(state["options"])
    generator = Generator(space, budget, int(state["seed"]), prototype=prototype, proxies=proxies, options=options)
    generator.distribution.load(state["theta"])
    generator.log = list(state["log"])
    observations = tuple(
        Observation(**{**o, "architecture": space.from_json(o["architecture"]), "values": tuple(o["values"])})
        for o in state["observations"]
    )
    generator.stood_on = observations[: generator.log[-1]["observations"]] if generator.log else ()
    pending = tuple(space.from_json(a) for a in state["pending"])
    return generator, History(observations, pending, frozenset(state["seen"]))
