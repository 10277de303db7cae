"""One decision: what carried it, its critical region, what flips it, and what cannot be said about a single image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.data.dataset import Dataset, Indices, pack_masks
from nas.edits import fill_lungs
from nas.inquisitor.attribution.critical import UNSEEN, critical_regions
from nas.inquisitor.attribution.grid import enlarge
from nas.inquisitor.attribution.impact import impact
from nas.inquisitor.context import Case, Settings
from nas.inquisitor.design import balanced
from nas.inquisitor.engine import margins, probabilities, spread, to_float
from nas.inquisitor.gates import no_donors, usable_masks
from nas.inquisitor.judge import rounded
from nas.inquisitor.margins import Margins
from nas.inquisitor.opening import ask_again, in_data_order, open_case
from nas.inquisitor.pictures import Flip, draw_flips
from nas.inquisitor.regions import chest_region
from nas.inquisitor.tests.base import AUDIT_TESTS, SwapTest
from nas.inquisitor.tests.t07_map import place
from nas.records import Picture
from search_spaces.errors import InputError

LIMITS = (
    "whether the decision is right: no edit can tell",
    "whether the model as a whole relies on what carried this decision: that takes an audit on many images",
    "evidence inside the lungs is not taken apart: a device there counts as lung",
)
_REFERENCES = 300  # other images, for the spread of the log-odds and as donors


@dataclass(frozen=True)
class Explanation:
    """What can be said about one decision.

    Attributes:
        decision: the class decided for; probabilities: class → probability.
        carried: question → what donors of the class and of the others do to the decision's log-odds, in σ, and how often
            they flip it; "lungs removed" likewise, under each fill.
        region: the critical region: where, its share outside the chest, and, under each fill, what its removal does.
        unsaid: what cannot be said about a single image.
        trained_on: whether the model trained on this very image.
    """

    decision: str
    probabilities: dict[str, float]
    carried: dict[str, dict[str, Any]]
    region: dict[str, Any]
    unsaid: tuple[str, ...]
    pictures: tuple[Picture, ...] = ()
    trained_on: bool = False

    def record(self) -> dict[str, Any]:
        """Everything as JSON-able values."""
        return {
            "decision": self.decision, "probabilities": self.probabilities, "trained_on": self.trained_on, "carried": self.carried, "region": self.region,
            "unsaid": list(self.unsaid), "pictures": [picture.model_dump() for picture in self.pictures],
        }  # fmt: skip


def explain_decision(
    model: nn.Module,
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    dataset: Dataset,
    indices: Indices | None = None,
    *,
    classes: Sequence[str] | None = None,
    donors_per_class: int = 16,
    seed: int = 0,
    device: str | torch.device = "cpu",
    pictures_dir: Path | None = None,
) -> Explanation:
    """Question a model about one image.

    Args:
        image: uint8 (H, W) or (1, H, W), prepared as the model's own images are. mask: its lungs, bool (H, W); without it
            only the critical region can be told.
        dataset, indices: other images: donors, and the spread that log-odds are measured in. The image must not be among them.
        pictures_dir: where the strongest edits are drawn to.

    Raises:
        InputError: the image has another size than the data's, or the data have no masks to take donors by.
    """
    picture = image.reshape(1, *image.shape[-2:])
    if picture.shape[1:] != dataset.images.shape[2:]:
        raise InputError(
            f"the image is {picture.shape[1:]}, the data's are {dataset.images.shape[2:]} pixels; prepare it alike"
        )
    others = _references(dataset, indices, seed)
    case = _case(in_data_order(model, classes, dataset), dataset, others, picture, mask, donors_per_class, seed, device)
    shown = to_float(case.exhibits.images[:1])
    target = int(case.logits[0].argmax())
    shares = probabilities(case.logits[:1])[0]
    carried, flips = ({}, []) if mask is None else _questions(case, target, shares)
    obstacle = "this image has no lung mask" if mask is None else no_donors(case)
    unsaid = (*LIMITS, f"what lies outside the lungs: {obstacle}") if obstacle else LIMITS
    pictures = (draw_flips(flips, case.classes, pictures_dir),) if pictures_dir and flips else ()
    return Explanation(
        decision=case.classes[target], probabilities={n: round(float(p), 6) for n, p in zip(case.classes, shares, strict=True)},
        carried=carried, region=_region(case, shown, target, mask is not None), unsaid=unsaid, pictures=pictures,
    )  # fmt: skip


def _references(dataset: Dataset, indices: Indices | None, seed: int) -> Indices:
    """Images with usable masks, the classes in turn: a rare class gives what it has."""
    rows = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
    usable, _ = usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    if not usable.any():
        raise InputError("the data have no usable lung masks, so there are no donors; give data with masks")
    rows = rows[usable]
    return np.sort(rows[balanced(dataset.labels[rows], _REFERENCES, len(dataset.classes), np.random.default_rng(seed))])


def _case(
    model: nn.Module, dataset: Dataset, others: Indices, picture: NDArray[np.uint8], mask: NDArray[np.bool_] | None,
    donors_per_class: int, seed: int, device: str | torch.device,
) -> Case:  # fmt: skip
    """A case whose only recipient is the image; the other images give donors and the unit σ."""
    one = dataset.subset(others[:1])
    packed = pack_masks(mask[None]) if mask is not None else np.zeros_like(one.packed_masks)
    alone = Dataset(
        images=picture[None], labels=one.labels, classes=dataset.classes, packed_masks=packed,
        has_mask=np.array([mask is not None]), group=np.array(["this image"]), patient=np.array(["this image"]),
        source=one.source, view=one.view, file=one.file, split=one.split, native_size=one.native_size,
    )  # fmt: skip
    settings = Settings(recipients=1, entries=donors_per_class, blocks_per_recipient=donors_per_class)
    case = open_case(
        model, alone, np.array([0]), auditable=(), margins=Margins(), settings=settings, level="full", seed=seed, device=device,
        donor_dataset=dataset, donor_rows=others,
    )  # fmt: skip
    answers = case.engine.on_images(case.donors.images)
    ask_again(case.engine, case.donors, answers)
    case.__dict__["sigma"] = spread(margins(answers))
    return case


def _questions(case: Case, target: int, shares: NDArray[np.float64]) -> tuple[dict[str, dict[str, Any]], list[Flip]]:
    """Every swap with donors of each class, where there are any, and the lungs removed."""
    carried: dict[str, dict[str, Any]] = {}
    flips: list[tuple[float, Flip]] = []
    clean, sigma = float(case.z[0, target]), float(case.sigma[target])
    for _, kind in AUDIT_TESTS.items():
        test = kind()
        if not isinstance(test, SwapTest) or not case.design.entries:
            continue
        change = (test.responses(case, case.settings.fills[0])[:, :, target] - clean) / sigma  # (blocks, slots)
        flipped = test.decisions(case, case.settings.fills[0]) != target
        carried[test.title] = {
            case.classes[index]: {
                "change": rounded(float(change[:, slot].mean())), "spread": rounded(float(change[:, slot].std())),
                "flips": rounded(float(flipped[:, slot].mean())), "donors": len(change),
            }
            for slot, index in enumerate(test.design(case).classes)
        }  # fmt: skip
        if flipped.any():
            worst = int(np.where(flipped, change, np.inf).argmin())
            flips.append((float(change.flat[worst]), _flip(case, test, worst, shares)))
    carried["lungs removed"] = _without_lungs(case, target, clean, sigma)
    return carried, [flip for _, flip in sorted(flips, key=lambda item: item[0])[:4]]


def _flip(case: Case, test: SwapTest, pair: int, before: NDArray[np.float64]) -> Flip:
    given = test.design(case).pairs()[1][pair : pair + 1]
    edited = test.edit(case, case.tensor(np.zeros(1, np.int64)), case.numbers(given), case.settings.fills[0])
    after = probabilities(case.engine.on_images(edited))[0]
    donor = case.classes[int(case.donors.labels[given[0]])]
    original = to_float(case.exhibits.images[0, 0]).cpu().numpy()
    outline = case.exhibits.masks[0].cpu().numpy()
    return Flip(original, edited[0, 0].cpu().numpy(), outline, f"{test.title}, donor {donor}", before, after)


def _without_lungs(case: Case, target: int, clean: float, sigma: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    image, mask = to_float(case.exhibits.images[:1]), case.exhibits.masks[:1]
    for how in case.settings.fills:
        emptied = fill_lungs(image, mask, torch.Generator().manual_seed(case.seed), fill=how)
        logits = case.engine.on_images(emptied)
        change = (float(margins(logits)[0, target]) - clean) / sigma
        found[how] = {"change": rounded(change), "flips": bool(logits[0].argmax() != target)}
    return found


def _region(case: Case, shown: torch.Tensor, target: int, masked: bool) -> dict[str, Any]:
    targets = case.tensor(np.array([target]))
    region, _ = critical_regions(case.engine, shown, targets)
    pixels = enlarge(region, case.exhibits.image_size)
    rows, columns = (torch.nonzero(region[0])[:, axis].double().mean() for axis in (0, 1))
    found: dict[str, Any] = {
        "place": place(round(float(rows)) * region.shape[-1] + round(float(columns)), region.shape[-1]),
        "share_of_image": rounded(float(pixels.double().mean())),
        "outside_chest": None,
    }
    if masked:
        chest = chest_region(case.exhibits.masks[:1]).cpu()
        found["outside_chest"] = rounded(float((pixels & ~chest).sum() / pixels.sum()))
    for how in UNSEEN:
        took = impact(case.engine, shown, targets, region, how, case.seed)
        found[how] = {"flips": bool(took.changed[0]), "log_odds_lost": rounded(float(took.drop[0]))}
    return found
