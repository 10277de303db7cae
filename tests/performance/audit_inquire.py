"""Our reading of GSInquire against Captum's methods: connected regions of equal area, searched with one fill, scored with another.

    python -m tests.performance.audit_inquire [phantom|real] --work WORK.json [--images 200]

For two networks of different families, honest and with a planted marker: Impact Score and log-odds drop in excess of a random
region of the same shape, the paired difference to our search with its interval, overlap with the lesion or the marker, and
how much of a region survives when the network's weights are drawn anew. On real X-rays (PEPX_NAS_CXR) pneumonia and normal
are told apart, and each image is asked of the network of three that never saw its group; where a lesion is, nobody knows there.
Each cell is kept in the work file as soon as it is done.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from baselines.recipe import Recipe
from nas.data.dataset import Dataset
from nas.evaluation import DeviceData, train
from nas.inquisitor import Engine
from nas.inquisitor.attribution.critical import critical_regions
from nas.inquisitor.attribution.grid import cells_in, from_map
from nas.inquisitor.attribution.impact import Floats, Impact, beside_random, coverage, excess
from nas.inquisitor.attribution.methods import METHODS, maps_by
from nas.inquisitor.attribution.validity import randomised
from nas.inquisitor.engine import to_float
from nas.inquisitor.planted import ARCHITECTURES, Plant, audit_images, raise_model
from nas.statistics.intervals import mean
from tests.performance.audit_real import STRENGTH, candidate, real_images, with_letters

RESULTS = Path(__file__).parent / "results" / "audit_inquire.json"
FILL = "ring"  # the search fills with laplace and blur
EPOCHS = 30
FOLDS = 3
OURS = "critical region"


@dataclass(frozen=True)
class Part:
    """A trained network, images that it never saw, and where their evidence is: bool (n, H, W), or None where nobody knows."""

    model: nn.Module
    data: Dataset
    truth: Tensor | None


@dataclass(frozen=True)
class Answers:
    """One method on one part, a row an image: what its regions and random ones do, and how far they lie on others."""

    own: Impact
    control: Impact
    randomised: Floats
    truth: Floats | None


def phantom_cells(images: int) -> dict[str, Callable[[], list[Part]]]:
    """The self-test's networks, honest and cheating, by name."""
    plants = [Plant("marker", strength, network, 0) for network in ("plain", "separable") for strength in (0.0, 0.9)]
    return {plant.key: partial(_phantom, plant, 6 * images) for plant in plants}


def _phantom(plant: Plant, images: int) -> list[Part]:
    data = audit_images(plant, images)
    truth = torch.from_numpy(data.truth_maps("lesion" if plant.honest else "marker"))
    return [Part(raise_model(plant), data, truth)]


def real_cells() -> dict[str, Callable[[], list[Part]]]:
    """PEPX candidates and small residual networks on real images as they come, and on the same with planted letters."""
    kinds = [(strength, network) for strength in (0.0, STRENGTH) for network in ("pepx", "residual")]
    return {f"real, letters {strength:g}, {network}": partial(_real, strength, network) for strength, network in kinds}


def _real(strength: float, network: str) -> list[Part]:
    plain = real_images()
    data = with_letters(plain, strength) if strength else plain
    letters = torch.from_numpy((data.images != plain.images).any(axis=1)) if strength else None
    parts = []
    for train_rows, asked in GroupKFold(FOLDS).split(plain.labels, groups=plain.group):
        torch.manual_seed(0)  # of the first weights
        model = candidate(plain).model if network == "pepx" else ARCHITECTURES[network]()
        train(model, DeviceData(data), train_rows, np.array([], np.int64), Recipe(epochs=EPOCHS), seed=0)
        parts.append(Part(model, data.subset(asked), None if letters is None else letters[asked]))
    return parts


def ask(part: Part, images: int) -> tuple[dict[str, Answers], NDArray[np.str_], float]:
    """One network on the images of its second class that it decides rightly: answers, the images' groups, and its accuracy."""
    data = part.data
    engine, twin = Engine(part.model), Engine(randomised(part.model, 0))
    decided = engine.on_images(torch.from_numpy(data.images)).argmax(axis=1)
    asked = (decided == data.labels) & (data.labels == 1)
    rows = np.flatnonzero(asked if part.truth is None else asked & part.truth.flatten(1).any(1).numpy())[:images]
    pictures, targets = to_float(torch.from_numpy(data.images[rows])), torch.ones(len(rows), dtype=torch.int64)
    found = {}
    for name in (OURS, *METHODS.names()):
        own, other = (_regions(name, each, pictures, targets) for each in (engine, twin))
        removed = beside_random(engine, pictures, targets, own, FILL)
        covered = None if part.truth is None else coverage(own, part.truth[rows])[0]
        found[name] = Answers(*removed, _union_share(own, other), covered)
    return found, data.group[rows], float((decided == data.labels).mean())


def _regions(name: str, engine: Engine, pictures: Tensor, targets: Tensor) -> Tensor:
    if name == OURS:
        return critical_regions(engine, pictures, targets)[0]
    return from_map(maps_by(name, engine, pictures, targets, 0).values, cells_in())


def compare(name: str, parts: list[Part], images: int) -> dict[str, Any]:
    """Networks of one kind together, ours against each method."""
    asked = [ask(part, images) for part in parts]
    groups = np.concatenate([each for _, each, _ in asked])
    found = {method: _joined([answers[method] for answers, _, _ in asked]) for method in asked[0][0]}
    ours, table = found[OURS], {}
    for method, it in found.items():
        entry: dict[str, Any] = dict(excess(it.own, it.control, groups))
        entry["overlap with the randomised network's"] = round(float(it.randomised.mean()), 4)
        pairs = {"impact": (ours.own.weakened, it.own.weakened), "drop": (ours.own.drop, it.own.drop)}
        if ours.truth is not None and it.truth is not None:
            entry["overlap with the truth"] = round(float(it.truth.mean()), 4)
            pairs["overlap"] = (ours.truth, it.truth)
        if method != OURS:
            for key, (first, second) in pairs.items():
                bounds = mean(first.astype(float) - second.astype(float), groups)
                entry[f"{key}: ours minus it"] = [round(value, 4) for value in (bounds.low, bounds.high)]
        table[method] = entry
    right = float(np.mean([accuracy for _, _, accuracy in asked]))
    return {"plant": name, "accuracy": round(right, 3), "images": len(groups), "methods": table}


def _joined(parts: list[Answers]) -> Answers:
    def impacts(which: str) -> Impact:
        each = [getattr(part, which) for part in parts]
        return Impact(*(np.concatenate([getattr(it, f.name) for it in each]) for f in fields(Impact)))

    truth = [part.truth for part in parts if part.truth is not None]
    return Answers(
        impacts("own"),
        impacts("control"),
        np.concatenate([part.randomised for part in parts]),
        np.concatenate(truth) if truth else None,
    )


def _union_share(first: Tensor, second: Tensor) -> Floats:
    return ((first & second).flatten(1).sum(1) / (first | second).flatten(1).sum(1)).double().numpy()


def main() -> None:
    """Print and keep the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("phantom", "real"), nargs="?", default="phantom")
    parser.add_argument("--images", type=int, default=200, help="at most, of each network")
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    here: dict[str, Any] = json.loads(chosen.work.read_text(encoding="utf-8")) if chosen.work.exists() else {}
    cells = phantom_cells(chosen.images) if chosen.what == "phantom" else real_cells()
    for name, parts in cells.items():
        if name not in here:
            here[name] = compare(name, parts(), chosen.images)
            print(json.dumps(here[name]), flush=True)
            chosen.work.write_text(json.dumps(here), encoding="utf-8")
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    command = f"python -m tests.performance.audit_inquire {chosen.what} --work WORK.json --images {chosen.images}"
    kept[chosen.what] = {"command": command, "cells": list(here.values())}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
