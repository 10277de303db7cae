"""Our reading of GSInquire against Captum's methods: connected regions of equal area, searched with one fill, scored with another.

    python -m tests.performance.audit_inquire [phantom|real] [--images 200]

For two networks of different families, honest and with a planted marker: Impact Score and log-odds drop in excess of a random
region of the same shape, the paired difference to our search with its interval, overlap with the lesion or the marker, and
how much of a region survives when the network's weights are drawn anew. On real X-rays (PEPX_NAS_CXR) pneumonia and normal
are told apart, three fifths of the groups train, and the rest is asked; where a lesion is, nobody knows there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor, nn

from baselines.recipe import Recipe
from nas.data.dataset import Dataset
from nas.evaluation import DeviceData, train
from nas.inquisitor import Engine
from nas.inquisitor.attribution.critical import critical_regions
from nas.inquisitor.attribution.grid import cells_in, from_map
from nas.inquisitor.attribution.impact import coverage, impact, impact_scores
from nas.inquisitor.attribution.methods import METHODS, maps_by
from nas.inquisitor.attribution.validity import randomised
from nas.inquisitor.engine import to_float
from nas.inquisitor.planted import ARCHITECTURES, Plant, audit_images, raise_model
from nas.statistics.intervals import mean
from tests.performance.audit_real import STRENGTH, candidate, real_images, with_letters

RESULTS = Path(__file__).parent / "results" / "audit_inquire.json"
FILL = "laplace"  # the search fills with a plane and with a blur
EPOCHS = 30
OURS = "critical region"


@dataclass(frozen=True)
class Cell:
    """A trained network, images that it never saw, and where its evidence is: bool (n, H, W), or None where nobody knows."""

    name: str
    model: nn.Module
    data: Dataset
    truth: Tensor | None


def phantom_cells(images: int) -> Iterator[Cell]:
    """The self-test's networks, honest and cheating."""
    for network in ("plain", "separable"):
        for strength in (0.0, 0.9):
            plant = Plant("marker", strength, network, 0)
            data = audit_images(plant, 6 * images)
            truth = torch.from_numpy(data.truth_maps("lesion" if plant.honest else "marker"))
            yield Cell(plant.key, raise_model(plant), data, truth)


def real_cells() -> Iterator[Cell]:
    """A PEPX candidate and a small residual network on real images as they come, and on the same with planted letters."""
    plain = real_images()
    train_rows, asked = next(GroupShuffleSplit(1, test_size=0.4, random_state=0).split(plain.labels, groups=plain.group))
    for strength in (0.0, STRENGTH):
        data = with_letters(plain, strength) if strength else plain
        letters = torch.from_numpy((data.images != plain.images).any(axis=1)[asked]) if strength else None
        for name in ("pepx", "residual"):
            torch.manual_seed(0)  # of the first weights
            model = candidate(plain).model if name == "pepx" else ARCHITECTURES[name]()
            train(model, DeviceData(data), train_rows, np.array([], np.int64), Recipe(epochs=EPOCHS), seed=0)
            yield Cell(f"real, letters {strength:g}, {name}", model, data.subset(asked), letters)


def compare(cell: Cell, images: int) -> dict[str, Any]:
    """One network on the images of its second class that it decides rightly."""
    data = cell.data
    engine, twin = Engine(cell.model), Engine(randomised(cell.model, 0))
    decided = engine.on_images(torch.from_numpy(data.images)).argmax(axis=1)
    asked = (decided == data.labels) & (data.labels == 1)
    rows = np.flatnonzero(asked if cell.truth is None else asked & cell.truth.flatten(1).any(1).numpy())[:images]
    pictures, targets = to_float(torch.from_numpy(data.images[rows])), torch.ones(len(rows), dtype=torch.int64)
    regions: dict[str, tuple[Tensor, Tensor]] = {
        OURS: (critical_regions(engine, pictures, targets)[0], critical_regions(twin, pictures, targets)[0])
    }
    for name in METHODS.names():
        own, other = (from_map(maps_by(name, each, pictures, targets, 0).values, cells_in()) for each in (engine, twin))
        regions[name] = (own, other)
    removed = {name: impact(engine, pictures, targets, own, FILL) for name, (own, _) in regions.items()}
    covered = {} if cell.truth is None else {name: coverage(own, cell.truth[rows])[0] for name, (own, _) in regions.items()}
    table: dict[str, Any] = {}
    for name, (own, other) in regions.items():
        scores = impact_scores(engine, pictures, targets, own, fill=FILL, groups=data.group[rows])
        entry: dict[str, Any] = {key: scores[key] for key in ("impact", "strict", "drop")}
        entry["overlap with the randomised network's"] = round(float(_union_share(own, other).mean()), 4)
        if covered:
            entry["overlap with the truth"] = round(float(covered[name].mean()), 4)
        if name != OURS:
            pairs = {
                key: (getattr(removed[OURS], at), getattr(removed[name], at))
                for key, at in (("impact", "weakened"), ("drop", "drop"))
            }
            if covered:
                pairs["overlap"] = (covered[OURS], covered[name])
            for key, (first, second) in pairs.items():
                bounds = mean(first.astype(float) - second.astype(float), data.group[rows])
                entry[f"{key}: ours minus it"] = [round(value, 4) for value in (bounds.low, bounds.high)]
        table[name] = entry
    right = float((decided == data.labels).mean())
    return {"plant": cell.name, "accuracy": round(right, 3), "images": len(rows), "methods": table}


def _union_share(first: Tensor, second: Tensor) -> Tensor:
    return (first & second).flatten(1).sum(1) / (first | second).flatten(1).sum(1)


def main() -> None:
    """Print and keep the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("phantom", "real"), nargs="?", default="phantom")
    parser.add_argument("--images", type=int, default=200)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for cell in phantom_cells(chosen.images) if chosen.what == "phantom" else real_cells():
        found.append(compare(cell, chosen.images))
        print(json.dumps(found[-1]), flush=True)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    command = f"python -m tests.performance.audit_inquire {chosen.what} --images {chosen.images}"
    kept[chosen.what] = {"command": command, "cells": found}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
