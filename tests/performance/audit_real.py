"""The audit on real images: one source, two classes, cross-fitted; then a marker planted into the same images, and the way back.

    python -m tests.performance.audit_real --work WORK.json [--source kermany] [--epochs 40] [--letters 0.105]

Needs PEPX_NAS_CXR (a table with masks). Each stage is kept in the work file as soon as it is done, and skipped where it stands
there. "planted": letters, ``--letters`` of the side high, in a corner of 95 % of pneumonia and 5 % of normal images; "answered":
the same, trained with the options that the verdict on "planted" names; "answered-again": where that still fails, with those that
its verdict names besides, or, where it names no other, on images cut to the lungs if it names that; and so a third time. How well each tells the classes apart is also measured without planted letters, and with letters on a
random half of the images, whatever their class.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.recipe import Recipe
from nas.data import load
from nas.data.dataset import Dataset
from nas.data.loading import _cropped
from nas.data.masking import with_masks
from nas.data.phantom.tags import glyph, paste
from nas.data.preprocessing import Preprocessing
from nas.evaluation import LoadedModel, predict_logits
from nas.inquisitor import CrossFitted, audit_model
from nas.inquisitor.engine import margins
from nas.jobs.crossfit import cross_fit
from nas.jobs.finalists import to_try
from nas.jobs.retraining import HowTrained
from nas.records import CROP, Finding
from nas.statistics import auc, auc_interval, compare_auc
from search_spaces import Budget, get_space

RESULTS = Path(__file__).parent / "results" / "audit_real.json"
CLASSES, IMAGE_SIZE, FOLDS, STRENGTH = ("normal", "pneumonia"), 64, 5, 0.9
LETTERS = 0.105  # height by the side
LARGE = 256  # pixels a side of the pictures that a crop is cut from
STAGES = ("as-they-come", "planted", "answered", "answered-again", "answered-a-third-time")


def real_images(image_size: int = IMAGE_SIZE) -> Dataset:
    """All images that show one of the two classes."""
    if "PEPX_NAS_CXR" not in os.environ:
        raise SystemExit("PEPX_NAS_CXR is not set; it must name a table of chest X-rays with masks")
    return load(f"table:{os.environ['PEPX_NAS_CXR']}", classes=CLASSES, image_size=image_size)


def images_of(source: str, image_size: int = IMAGE_SIZE) -> Dataset:
    """Those of one source, with masks."""
    data = real_images(image_size)
    return with_masks(data.subset(np.flatnonzero(data.source == source)))


def with_letters(data: Dataset, strength: float, seed: int = 0, height: float = LETTERS) -> Dataset:
    """Letters near the upper right corner, with probability (1 + strength)/2 in pneumonia and (1 − strength)/2 in normal images."""
    rng = np.random.default_rng(seed)
    images = data.images.copy()
    marked = rng.random(len(data)) < np.where(data.labels == 1, (1 + strength) / 2, (1 - strength) / 2)
    for row in np.flatnonzero(marked):
        picture = images[row, 0].astype(np.float32) / 255
        inset = (float(rng.uniform(0.02, 0.10)), float(rng.uniform(0.02, 0.08)))
        paste(
            picture,
            glyph("AP", round(height * data.image_size * rng.uniform(0.9, 1.15))),
            (1, -1),
            inset,
            float(rng.uniform(0.95, 1)),
        )
        images[row, 0] = np.rint(picture * 255)
    return replace(data, images=images)


@dataclass(frozen=True)
class Shown:
    """The images as a candidate sees them: as they come, with letters tied to the class, and with letters at random."""

    plain: Dataset
    lettered: Dataset
    at_random: Dataset


def shown(source: str, height: float, *, lungs: bool = False) -> Shown:
    """``lungs``: cut to them, letters and all, from larger pictures with the same draws of letters."""
    plain = images_of(source, LARGE if lungs else IMAGE_SIZE)
    found = plain, with_letters(plain, STRENGTH, height=height), with_letters(plain, 0.0, 1, height)
    if not lungs:
        return Shown(*found)
    how = Preprocessing(image_size=IMAGE_SIZE, lungs=True)
    return Shown(*(replace(_cropped(data, how), preprocessing=how) for data in found))


def candidate(data: Dataset) -> LoadedModel:
    """A small PEPX network of 6 million FLOPs, untrained."""
    space = get_space("pepx", classes=len(CLASSES), image_size=IMAGE_SIZE)
    architecture = space.sample(np.random.default_rng(1), Budget.parse("6M", image_size=IMAGE_SIZE), fill=True)
    assert data.preprocessing is not None
    return LoadedModel(
        space.build(architecture, IMAGE_SIZE),
        CLASSES,
        data.preprocessing,
        architecture.key,
        frozenset(),
        architecture.to_json(),
    )


def out_of_fold(model: CrossFitted, data: Dataset) -> NDArray[np.float64]:
    """Log-odds of pneumonia by the network that never saw the image's group, standardised by fold, float64 (n,)."""
    scores = np.zeros(len(data))
    for number, network in enumerate(model.models):
        rows = np.flatnonzero(model.fold == number)
        found = margins(predict_logits(network, data.images[rows]))[:, 1]
        scores[rows] = (found - found.mean()) / found.std()
    return scores


def figures(finding: Finding) -> dict[str, Any]:
    """A verdict with, for each test, the minimum detectable effect before effect, interval and verdict."""
    tests = {
        item.test: {
            "detectable": item.minimum_detectable_effect, "effect": item.effect,
            "interval": [item.interval.low, item.interval.high] if item.interval else None, "verdict": item.verdict,
        }
        for item in finding.tests
    }  # fmt: skip
    return {"verdict": finding.verdict, "reason": finding.binding_reason, "answers": list(finding.answers), "tests": tests}


def stage(name: str, data: Dataset, images: Shown, recipe: Recipe) -> dict[str, Any]:
    """Cross-fit on ``data``, audit on them, and score the images without letters and with letters at random."""
    model, _ = cross_fit(candidate(data), data, HowTrained(recipe=recipe), folds=FOLDS)
    found = figures(audit_model(model, data))
    truth = data.labels == 1
    assert data.preprocessing is not None
    found["answers_used"] = [*recipe.answers, *([CROP] if data.preprocessing.lungs else [])]
    found["auc_as_shown"] = round(auc(out_of_fold(model, data), truth), 4)
    found["scores"] = {}
    for condition, asked in (("without_letters", images.plain), ("letters_at_random", images.at_random)):
        scores = out_of_fold(model, asked)
        bounds = auc_interval(scores, truth, data.group)
        found[f"auc_{condition}"] = [round(v, 4) for v in (auc(scores, truth), bounds.low, bounds.high)]
        found["scores"][condition] = scores.tolist()
    print(name, json.dumps({key: value for key, value in found.items() if key != "scores"}), flush=True)
    return found


def gained(here: dict[str, Any], name: str, data: Dataset) -> dict[str, list[float]]:
    """AUC of an answered stage less that of "planted" on the same images, by condition, with its interval."""
    found = {}
    for condition, planted in here["planted"]["scores"].items():
        change = compare_auc(here[name]["scores"][condition], planted, data.labels == 1, data.group)
        found[condition] = [round(value, 4) for value in (change.difference, change.interval.low, change.interval.high)]
    return found


def main() -> None:
    """Run the stages that are missing, and keep what they gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--source", default="kermany")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--letters", type=float, default=LETTERS, help="height of the planted letters by the side")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"source": chosen.source, "epochs": chosen.epochs, "letters": chosen.letters}
    here: dict[str, Any] = {"settings": settings}
    if chosen.work.exists():
        here = json.loads(chosen.work.read_text(encoding="utf-8"))
    if here.get("settings") != settings:
        raise SystemExit(f"{chosen.work} holds stages of {here.get('settings')}, not of {settings}; name another work file")
    images = shown(chosen.source, chosen.letters)
    data = images.plain
    for number, name in enumerate(STAGES):
        if name in here:
            continue
        used: tuple[str, ...] = ()
        for past in STAGES[1:number]:
            named = to_try(here[past]["answers"], used)
            used += named
        if number > 1 and not named:  # what was answered last no longer fails, or names nothing new
            break
        recipe = Recipe(epochs=chosen.epochs, answers=tuple(n for n in used if n != CROP))
        seen = shown(chosen.source, chosen.letters, lungs=True) if CROP in used else images
        here[name] = stage(name, seen.plain if name == "as-they-come" else seen.lettered, seen, recipe)
        chosen.work.write_text(json.dumps(here), encoding="utf-8")
    gains = {f"gained_{name}": gained(here, name, data) for name in STAGES[2:] if name in here}
    print(gains)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    stages = {name: {key: value for key, value in here[name].items() if key != "scores"} for name in STAGES if name in here}
    size = "" if chosen.letters == LETTERS else f" --letters {chosen.letters:g}"
    command = f"--work WORK.json --source {chosen.source} --epochs {chosen.epochs}{size}"
    kept[chosen.source + size.replace(" --", ", ")] = {
        "command": f"python -m tests.performance.audit_real {command}",
        "images": len(data), "groups": len(np.unique(data.group)), **gains, **stages,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
