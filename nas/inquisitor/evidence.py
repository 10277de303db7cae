"""What a full audit shows beside its verdict: maps with their gates, flips, pictures. Suspicion, never acquittal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.inquisitor.attribution.critical import UNSEEN, critical_regions
from nas.inquisitor.attribution.grid import cells_in, enlarge, from_map
from nas.inquisitor.attribution.impact import impact_scores
from nas.inquisitor.attribution.localisation import excess_mass, localisation_auc, mass_outside
from nas.inquisitor.attribution.methods import METHODS, Maps, UnavailableError, differentiable, maps_by
from nas.inquisitor.attribution.validity import randomised, verdict_on
from nas.inquisitor.context import Case
from nas.inquisitor.crossfit import FoldEngine
from nas.inquisitor.engine import Engine, probabilities, to_float
from nas.inquisitor.judge import rounded
from nas.inquisitor.pictures import Flip, Panel, draw_flips, draw_gallery
from nas.inquisitor.probes import block_probes
from nas.inquisitor.tests.base import AUDIT_TESTS, SwapTest
from nas.records import Picture
from search_spaces.errors import InputError
from search_spaces.modules import Network

IMAGES = 24  # images with maps
SHOWN = 4
FORWARD_ONLY = ("occlusion",)  # methods that need no gradients


@dataclass(eq=False)
class Evidence:
    """JSON-able entries, one a method, and the panels to draw."""

    entries: tuple[dict[str, Any], ...]
    panels: list[Panel] = field(default_factory=list)


def attribute(case: Case, images: int = IMAGES) -> Evidence:
    """Maps of rightly decided images by every method, each with its gates, its localisation and its region's impact."""
    if isinstance(case.engine, FoldEngine):
        return Evidence(
            ({"method": "all", "status": "unavailable", "reason": "maps are of one network, and each fold has its own"},)
        )
    rows = _rightly_decided(case, images)
    if len(rows) < 8:
        return Evidence(({"method": "all", "status": "unavailable", "reason": "fewer than 8 images are decided rightly"},))
    pictures, targets = to_float(case.exhibits.images[case.tensor(rows)]), case.tensor(case.exhibits.labels[rows])
    regions, groups = case.regions[case.tensor(rows)][:, 0], case.exhibits.groups[rows]
    found, _ = critical_regions(case.engine, pictures, targets)
    fill = UNSEEN[0]
    covered = enlarge(found, case.exhibits.image_size)[:, 0].to(regions.device)
    share = float((covered & ~regions).sum() / covered.sum())
    scores = _impact(case, pictures, targets, found, fill, groups)
    entries: list[dict[str, Any]] = [
        {
            "method": "critical_region", "images": len(rows), **_beyond_random(scores), "mass_outside": rounded(share), "impact": scores,
        }
    ]  # fmt: skip
    kept: dict[str, tuple[Tensor, str]] = {}
    twin = _twin(case.engine, case.seed)  # first: what old weight norms note of gradients cannot be copied
    gradients = differentiable(case.engine, pictures[:1])
    for name in METHODS.names():
        if gradients or name in FORWARD_ONLY:
            entry, maps = _method(case, name, pictures, targets, regions, groups, fill, twin)
        else:
            entry, maps = (
                {"method": name, "status": "unavailable", "reason": "no gradients reach the input of this model"},
                None,
            )
        entries.append({"images": len(rows), **entry})
        if maps is not None:
            kept[name] = (maps.values, str(entry["status"]))
    panels = [
        Panel(
            pictures[k, 0].cpu().numpy(), case.exhibits.masks[int(rows[k])].cpu().numpy(),
            enlarge(found[k : k + 1], case.exhibits.image_size)[0, 0].numpy(), f"{case.classes[int(targets[k])]}",
            {name: (values[k].cpu().numpy(), status) for name, (values, status) in kept.items()},
        )
        for k in np.linspace(0, len(rows) - 1, SHOWN).astype(int)
    ]  # fmt: skip
    return Evidence(tuple(entries), panels if kept else [])


def block_importances(case: Case) -> dict[str, float]:
    """Block → what it carries, in σ of the correct-class margin, for a network of our spaces; of any other no blocks are known."""
    model = case.engine.model
    if isinstance(case.engine, FoldEngine) or not any(isinstance(part, Network) for part in model.modules()):
        return {}
    shown = case.exhibits
    found = block_probes(model, shown.dataset, shown.rows, seed=case.seed, device=case.engine.device)
    return {name.removeprefix("model."): round(value, 6) for name, value in found.items()}  # within InDataOrder


def _twin(engine: Engine, seed: int) -> Engine | None:
    """The network with its weights drawn anew; None where that cannot be had."""
    try:
        return Engine(randomised(engine.model, seed), engine.device, engine.pixels, engine.workers)
    except UnavailableError:
        return None


def _method(
    case: Case, name: str, pictures: Tensor, targets: Tensor, regions: Tensor, groups: NDArray, fill: str, twin: Engine | None
) -> tuple[dict[str, Any], Maps | None]:  # fmt: skip
    try:
        maps = maps_by(name, case.engine, pictures, targets, case.seed)
    except UnavailableError as error:
        return {"method": name, "status": "unavailable", "reason": str(error)}, None
    try:
        other = maps_by(name, twin, pictures, targets, case.seed) if twin else None
    except (UnavailableError, InputError):  # drawn anew, weights may lead beyond what numbers hold
        other = None
    scores = _impact(case, pictures, targets, from_map(maps.values.cpu(), cells_in()), fill, groups)
    gates = (
        verdict_on(maps, other, _excess_low(scores))
        if other
        else {"status": "void", "reason": "no randomised twin to compare with"}
    )
    outside, excess = mass_outside(maps.values, regions), excess_mass(maps.values, regions)
    return {
        "method": name, **gates, "localisation_auc": _mean(localisation_auc(maps.values, regions)),
        "mass_outside": _mean(outside), "excess_outside": _mean(excess), "degenerate": int((~outside.isfinite()).sum()),
        "impact": scores,
    }, maps  # fmt: skip


def _impact(case: Case, pictures: Tensor, targets: Tensor, regions: Tensor, fill: str, groups: NDArray) -> dict[str, Any]:
    return impact_scores(case.engine, pictures, targets, regions, fill=fill, seed=case.seed, groups=groups)


def _excess_low(scores: dict[str, Any]) -> float | None:
    """Lower bound of how much more log-odds a region's removal costs than a random region's."""
    return scores["drop"]["low"] if "drop" in scores else None


def _beyond_random(scores: dict[str, Any]) -> dict[str, Any]:
    """The one gate on regions that were searched for by their effect: there is no map to add up or to survive anything."""
    low = _excess_low(scores)
    valid = low is not None and low > 0
    reason = "" if valid else "it matters no more than a random region"
    return {"status": "valid" if valid else "void", "reason": reason, "excess_low": rounded(low)}


def _mean(values: Tensor) -> float | None:
    usable = values[values.isfinite()]
    return rounded(float(usable.double().mean())) if len(usable) else None


def _rightly_decided(case: Case, count: int) -> NDArray[np.int64]:
    """Positions of rightly decided images, the classes in turn."""
    right = case.logits.argmax(axis=1) == case.exhibits.labels
    columns = [np.flatnonzero(right & (case.exhibits.labels == index)) for index in range(len(case.classes))]
    turns = [(place, index, int(row)) for index, column in enumerate(columns) for place, row in enumerate(column)]
    return np.sort(np.array([row for _, _, row in sorted(turns)[:count]], dtype=np.int64))


def strongest_flips(case: Case, count: int = SHOWN) -> list[Flip]:
    """Edits under which a rightly decided image was decided otherwise with a donor of another class, the strongest first.

    At most two by one test: one marker would otherwise fill the page.
    """
    found: list[tuple[float, SwapTest, int, int]] = []
    for _, kind in AUDIT_TESTS.items():
        test = kind()
        key = (test.name, "responses", case.settings.fills[0])
        if isinstance(test, SwapTest) and key in case.memory:
            found += [(strength, test, pair, label) for strength, pair, label in _flips_of(case, test)[:2]]
    found.sort(key=lambda item: (-item[0], item[1].name, item[2]))
    return [_shown(case, test, pair) for _, test, pair, _ in found[:count]]


def _flips_of(case: Case, test: SwapTest) -> list[tuple[float, int, int]]:
    """(strength in σ, pair, label) of flips by donors that are not of the recipient's class."""
    design, fill = test.design(case), case.settings.fills[0]
    responses, decisions = test.responses(case, fill), test.decisions(case, fill)
    labels, entry = case.exhibits.labels[design.recipient], np.arange(design.entries)
    right = case.logits.argmax(axis=1)[design.recipient] == labels
    slots = np.array([design.classes.index(c) if c in design.classes else -1 for c in range(len(case.classes))])[labels]
    own = responses[entry, slots, labels]  # log-odds of the recipient's class with a donor of that class, (entries,)
    stays = (slots >= 0) & (decisions[entry, slots] == labels)  # else the edit as such may have changed the decision
    found = []
    for slot in range(design.slots):
        flipped = right & stays & (slot != slots) & (decisions[:, slot] != labels)
        fall = own - responses[entry, slot, labels]
        found += [
            (float(fall[k] / case.sigma[labels[k]]), int(k) * design.slots + slot, int(labels[k]))
            for k in np.flatnonzero(flipped)
        ]
    return sorted(found, key=lambda item: (-item[0], item[1]))


def _shown(case: Case, test: SwapTest, pair: int) -> Flip:
    recipients, donors = (positions[pair : pair + 1] for positions in test.design(case).pairs())
    position = int(recipients[0])
    edited = test.edit(case, case.tensor(recipients), case.numbers(donors), case.settings.fills[0])
    original = to_float(case.exhibits.images[position : position + 1])
    logits = case.engine.logits(
        lambda numbers: torch.cat([original, edited])[numbers],
        2,
        case.exhibits.image_size,
        case.exhibits.rows[[position, position]],
    )
    shares = probabilities(logits)
    donor = case.classes[int(case.donors.labels[donors[0]])]
    return Flip(
        original[0, 0].cpu().numpy(), edited[0, 0].cpu().numpy(), case.exhibits.masks[position].cpu().numpy(),
        f"{test.title}, donor {donor}", shares[0], shares[1],
    )  # fmt: skip


def draw(case: Case, evidence: Evidence, directory: Path) -> tuple[Picture, ...]:
    """Write the pictures; none where there is nothing to show."""
    flips = strongest_flips(case)
    return (
        *([draw_flips(flips, case.classes, directory)] if flips else []),
        *([draw_gallery(evidence.panels, directory)] if evidence.panels else []),
    )
