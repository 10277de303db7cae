"""An architecture's decisions and blocks, read from its search space where that is installed, else from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from nas.records import CandidateRecord, SearchRecord
from nas.report.cells import Cell, Table, table
from nas.report.charts.diagram import Block, diagram
from search_spaces.errors import InputError

Chosen = Mapping[str, Mapping[str, str]]  # architecture key → active decision → choice as text


def space_of(architecture: Mapping[str, Any]) -> Any | None:
    """The search space that an architecture names; ``None`` where it is not installed here (a user's own)."""
    from search_spaces import get_space  # here: the page of a foreign record must not need our spaces

    classes, channels = architecture.get("classes", 3), architecture.get("in_channels", 1)
    try:
        return get_space(str(architecture.get("space", "")), classes=int(classes), in_channels=int(channels))
    except InputError:
        return None


def choices_of(architecture: Mapping[str, Any], space: Any | None) -> dict[str, str]:
    """Active decisions and their choices as text (all of them, where the space is not installed)."""
    choices = architecture.get("choices", {})
    if not isinstance(choices, Mapping):
        return {}
    active = space.active(choices) if space is not None else set(choices)
    return {name: str(choice) for name, choice in choices.items() if name in active}


def chosen(record: SearchRecord, space: Any | None) -> Chosen:
    """Every trial's active choices by its key."""
    return {trial.key: choices_of(trial.architecture, space) for trial in record.trials}


def decision_orders(record: SearchRecord, space: Any | None) -> dict[str, list[str]]:
    """Decision → its choices as text, in the space's order; for an unknown space, those that occurred, sorted."""
    if space is not None:
        return {name: [str(choice) for choice in choices] for name, choices in space.decisions.items()}
    seen: dict[str, set[str]] = {}
    for choices in chosen(record, None).values():
        for name, choice in choices.items():
            seen.setdefault(name, set()).add(choice)
    return {name: sorted(found, key=_natural) for name, found in seen.items()}


def _natural(text: str) -> tuple[int, float, str]:
    """Numbers by value, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def choices_table(candidate: CandidateRecord) -> Table:
    """Active decisions and choices of one architecture."""
    choices = choices_of(candidate.architecture, space_of(candidate.architecture))
    rows = [(Cell(name, class_="key"), Cell(choice, class_="text")) for name, choice in choices.items()]
    return table((("Decision", False), ("Choice", False)), rows)


def winner_diagram(candidate: CandidateRecord) -> Markup | None:
    """The architecture block by block with costs; ``None`` where its space is not installed or it has no blocks."""
    space = space_of(candidate.architecture)
    if space is None:
        return None
    architecture = space.from_json(candidate.architecture)
    cost = space.cost(architecture, candidate.cost.image_size)
    if not cost.blocks:
        return None
    choices = choices_of(candidate.architecture, space)
    names = [block.name for block in cost.blocks]
    headings = _headings(names, _by_owner(choices, space))
    details = {name: _sentence(own) for name, own in _by_owner(choices, space).items() if name in names}
    blocks = [Block(b.name, details.get(b.name, ""), b.flops, b.parameters, headings.get(b.name, "")) for b in cost.blocks]
    side = candidate.cost.image_size
    return diagram(
        blocks,
        f"{candidate.name}: {len(blocks)} blocks",
        "Bars are relative to the costliest block; hover, or press the arrow keys, for all decisions of a block.",
        first=f"{candidate.cost.in_channels} × {side} × {side} px",
        last=f"{architecture.classes} logits",
        chains=_stages(names) if choices.get("long_range") == "add" else (),
    )


def _by_owner(choices: Mapping[str, str], space: Any) -> dict[str, dict[str, str]]:
    """Choices by the block (or stage) that they belong to, under their short names."""
    owned: dict[str, dict[str, str]] = {}
    for name, choice in choices.items():
        owner = space.block_of(name)
        if owner is not None:
            owned.setdefault(owner, {})[name.removeprefix(owner).lstrip("._").replace("_", " ")] = choice
    return owned


def _sentence(choices: Mapping[str, str]) -> str:
    """``pepx, projection 16, expansion 64``: a kind first, and without its name."""
    kind = [choices["kind"]] if "kind" in choices else []
    return ", ".join(kind + [f"{name} {choice}" for name, choice in choices.items() if name != "kind"])


def _headings(names: Sequence[str], owned: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """For the first block of every stage, the stage's own decisions."""
    first: dict[str, str] = {}
    for name in names:
        stage = name.rpartition(".")[0]
        if stage and stage not in first:
            first[stage] = name
    return {name: f"{stage}: {_sentence(owned[stage])}" if stage in owned else stage for stage, name in first.items()}


def _stages(names: Sequence[str]) -> list[list[str]]:
    """Blocks of one stage, stage by stage."""
    stages: dict[str, list[str]] = {}
    for name in names:
        stages.setdefault(name.rpartition(".")[0], []).append(name)
    return [found for stage, found in stages.items() if stage and len(found) > 1]
