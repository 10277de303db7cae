"""The training twins of the audit's edits: options that answer a finding.

A verdict names them, ``nas search --answer-findings`` applies them, last the crop, which is no edit of training images: new ones need
it, too, so it becomes part of the candidate's preprocessing. Each other one breaks the association between a kind of
evidence and the label by taking that evidence from *another image of the same batch*, whatever its label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from nas.edits.donors import donor_partners, fill_lungs, swap_background
from nas.edits.frame import swap_collimation, swap_frame
from nas.edits.geometry import OUTLINE_MARGIN, swap_geometry
from nas.edits.markers import detect_markers, remove_markers, transplant
from nas.edits.masks import lung_region
from nas.edits.randomness import uniform
from nas.edits.style import swap_style
from search_spaces.errors import InputError


class BatchEdit(Protocol):
    """Change a training batch: images float (b, 1, H, W) in [0, 1], masks bool (b, 1, H, W), rows without a mask empty."""

    def __call__(self, images: Tensor, masks: Tensor, generator: Generator) -> Tensor: ...


@dataclass(frozen=True)
class Answer:
    """A training option that answers a finding.

    Attributes:
        name: what the verdict and the command line call it.
        text: one line for a person.
        answers: ids of the audit tests whose failure it answers.
        edit: what it does to a training batch; ``None`` for one that changes the sampling of batches, or all images, instead.
        explained_by: ids of tests whose failure explains those failures, so that their own answer comes first.
    """

    name: str
    text: str
    answers: tuple[str, ...]
    edit: BatchEdit | None
    explained_by: tuple[str, ...] = ()

    def fits(self, failed: Collection[str]) -> bool:
        """Whether it answers what these tests found."""
        return bool(set(self.answers) & set(failed)) and not set(self.explained_by) & set(failed)


def _some(images: Tensor, changed: Tensor, share: float, generator: Generator, usable: Tensor | None = None) -> Tensor:
    """Take the changed version of a random ``share`` of the (usable) rows."""
    chosen = uniform(len(images), generator, images.device) < share
    if usable is not None:
        chosen = chosen & usable
    return torch.where(chosen[:, None, None, None], changed, images)


def _fill_name(generator: Generator) -> str:
    """Either fill, at random: a network must not learn to recognise one of them."""
    return "ring" if float(torch.rand(1, generator=generator, device=generator.device)) < 0.5 else "laplace"


def donor_swap_augmentation(images: Tensor, masks: Tensor, generator: Generator, *, share: float = 0.5) -> Tensor:
    """Put the lungs of some images on the lung-filled background of another image of the batch."""
    partner = donor_partners(len(images), generator, images.device)
    backgrounds = fill_lungs(images, masks, generator, fill=_fill_name(generator))
    swapped = swap_background(images, masks, backgrounds[partner], masks[partner])
    has = masks.flatten(1).any(1)
    return _some(images, swapped, share, generator, has & has[partner])


def marker_augmentation(images: Tensor, masks: Tensor, generator: Generator, *, share: float = 0.75) -> Tensor:
    """Remove every marker that is found, then give some images the markers of another image of the batch."""
    regions = detect_markers(images, masks)
    clean = remove_markers(images, regions, generator)
    partner = donor_partners(len(images), generator, images.device)
    return _some(clean, transplant(clean, images[partner], regions[partner], masks=masks), share, generator)


def frame_augmentation(images: Tensor, masks: Tensor, generator: Generator, *, share: float = 0.75) -> Tensor:
    """Give some images the outer pixels (3 to 12 % of the side) or the collimation of another image of the batch."""
    partner = donor_partners(len(images), generator, images.device)
    width = 0.03 + 0.09 * float(torch.rand(1, generator=generator, device=generator.device))
    framed = swap_frame(images, images[partner], width=width, masks=masks)
    result = _some(images, framed, share, generator)
    return _some(result, swap_collimation(images, images[partner]), share / 3, generator)


def style_augmentation(images: Tensor, masks: Tensor, generator: Generator, *, share: float = 0.9) -> Tensor:
    """Give most images the tone, shading and sharpness of another image of the batch, read outside the lungs."""
    partner = donor_partners(len(images), generator, images.device)
    styled = swap_style(images, masks, images[partner], masks[partner], generator)
    has = masks.flatten(1).any(1)
    return _some(images, styled, share, generator, has & has[partner])


def geometry_augmentation(images: Tensor, masks: Tensor, generator: Generator, *, share: float = 0.9) -> Tensor:
    """Stretch the lungs of most images into the lung outline and the body of another image of the batch."""
    partner = donor_partners(len(images), generator, images.device)
    bodies = fill_lungs(images, masks, generator, fill=_fill_name(generator))
    outlines = lung_region(masks, margin=OUTLINE_MARGIN)
    swapped = swap_geometry(images, masks, bodies[partner], masks[partner], outlines[partner])
    has = masks.flatten(1).any(1)
    return _some(images, swapped, share, generator, has & has[partner])


ANSWERS: dict[str, Answer] = {
    answer.name: answer
    for answer in (
        # first of the edits: style is read outside the lungs, and must be changed while that is still their own surroundings
        Answer("style", "exchange tone, shading and sharpness between images", ("T6",), style_augmentation),
        Answer(
            "donor_swap", "train on lungs set on other patients' backgrounds", ("T1", "T2", "T3", "T7"), donor_swap_augmentation
        ),
        Answer("marker", "remove markers and exchange them between images", ("T4",), marker_augmentation),
        Answer("frame", "exchange borders and collimation between images", ("T5",), frame_augmentation),
        Answer("crop_body", "crop all images to the lungs and a margin: --crop lungs", ("T1", "T4", "T5"), None),
        # last of the edits, since the lungs are not where the batch's masks say any more; T13's donors bring their bodies along,
        # so what T3 finds in these, or T4 and T5 in marks and frames on them, fails there too
        Answer(
            "geometry",
            "train on lungs stretched into other patients' outlines",
            ("T13",),
            geometry_augmentation,
            explained_by=("T3", "T4", "T5"),
        ),
        Answer("source_balanced", "draw batches balanced over source within class", ("T8", "T9"), None),
    )
}


def get_answer(name: str) -> Answer:
    """An answer by name; an unknown name raises ``InputError`` with the known ones."""
    if name not in ANSWERS:
        raise InputError(f"unknown training answer {name!r}; known: {', '.join(ANSWERS)}")
    return ANSWERS[name]


def answers_to(tests: Iterable[str]) -> tuple[str, ...]:
    """Names of the answers to failed tests (ids such as ``"T4"``), in the order of ``ANSWERS``."""
    failed = set(tests)
    return tuple(name for name, answer in ANSWERS.items() if answer.fits(failed))


def apply_answers(images: Tensor, masks: Tensor, names: Iterable[str], generator: Generator) -> Tensor:
    """Apply the named answers' batch edits in the order of ``ANSWERS``; those without one change nothing here."""
    wanted = {get_answer(name).name for name in names}
    for name, answer in ANSWERS.items():
        if name in wanted and answer.edit is not None:
            images = answer.edit(images, masks, generator)
    return images
