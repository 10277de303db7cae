"""Our reading of GSInquire against Captum's methods: connected regions of equal area, searched with one fill, scored with another.

    python -m tests.performance.audit_inquire [--images 60]

For two networks of different families on phantom images, honest and with a planted marker: Impact Score and log-odds drop in
excess of a random region of the same shape, the paired difference to our search with its interval, overlap with the lesion
or the marker, and how much of a region survives when the network's weights are drawn anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.inquisitor import Engine
from nas.inquisitor.attribution.critical import critical_regions
from nas.inquisitor.attribution.grid import cells_in, from_map
from nas.inquisitor.attribution.impact import coverage, impact, impact_scores
from nas.inquisitor.attribution.methods import METHODS
from nas.inquisitor.attribution.validity import randomised
from nas.inquisitor.engine import to_float
from nas.inquisitor.planted import Plant, audit_images, raise_model
from nas.statistics.intervals import mean

RESULTS = Path(__file__).parent / "results" / "audit_inquire.json"
FILL = "laplace"  # the search fills with the mean of the ring


def compare(plant: Plant, images: int) -> dict[str, Any]:
    """One network on the images of its second class that it decides rightly."""
    model, data = raise_model(plant), audit_images(plant, 6 * images)
    engine, twin = Engine(model), Engine(randomised(model, 0))
    right = engine.on_images(torch.from_numpy(data.images)).argmax(axis=1) == data.labels
    truth = torch.from_numpy(data.truth_maps("lesion" if plant.honest else "marker"))
    shown = right & (data.labels == 1) & truth.flatten(1).any(1).numpy()
    rows = np.flatnonzero(shown)[:images]
    pictures, targets = to_float(torch.from_numpy(data.images[rows])), torch.ones(len(rows), dtype=torch.int64)
    regions: dict[str, tuple[Tensor, Tensor]] = {
        "critical region": (critical_regions(engine, pictures, targets)[0], critical_regions(twin, pictures, targets)[0])
    }
    for name in METHODS.names():
        method = METHODS.get(name)
        own, other = (from_map(method(each, pictures, targets).values, cells_in()) for each in (engine, twin))
        regions[name] = (own, other)
    best = impact(engine, pictures, targets, regions["critical region"][0], FILL)
    table = {}
    for name, (own, other) in regions.items():
        found = impact(engine, pictures, targets, own, FILL)
        scores = impact_scores(engine, pictures, targets, own, fill=FILL, groups=data.group[rows])
        entry: dict[str, Any] = {key: scores[key] for key in ("impact", "strict", "drop")}
        entry["overlap with the truth"] = round(float(coverage(own, truth[rows])[0].mean()), 4)
        entry["overlap with the randomised network's"] = round(float(_union_share(own, other).mean()), 4)
        if name != "critical region":
            for key, first, second in (("impact", best.weakened, found.weakened), ("drop", best.drop, found.drop)):
                bounds = mean(first.astype(float) - second.astype(float), data.group[rows])
                entry[f"{key}: ours minus it"] = [round(value, 4) for value in (bounds.low, bounds.high)]
        table[name] = entry
    return {"plant": plant.key, "images": len(rows), "methods": table}


def _union_share(first: Tensor, second: Tensor) -> Tensor:
    return (first & second).flatten(1).sum(1) / (first | second).flatten(1).sum(1)


def main() -> None:
    """Print and keep the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    images = parser.parse_args().images
    torch.set_num_threads(1)
    cells = [Plant("marker", strength, name, 0) for name in ("plain", "separable") for strength in (0.0, 0.9)]
    found = []
    for plant in cells:
        found.append(compare(plant, images))
        print(json.dumps(found[-1]), flush=True)
    command = f"python -m tests.performance.audit_inquire --images {images}"
    RESULTS.write_text(json.dumps({"command": command, "cells": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
