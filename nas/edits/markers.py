"""Markers: find them, remove them, move them, transplant real ones from donors."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor

from nas.edits.fills import Fill, get_fill
from nas.edits.masks import as_masks, bounds, dilate, lung_region, pixels
from nas.edits.randomness import integers

_STROKE = 0.05  # strokes of letters are thinner than this share of the side
_CONTRAST = 0.12  # how far a letter stands out from what an opening leaves
_STARK = 0.3  # letters on black need not be among the brightest pixels, but stand out this far
_BORDER = 0.28  # markers begin this near to the left or right edge (the spine and chin are full of thin bright lines)
_REACH = 0.15  # and go on this far inwards from there, in large letters
_BRIGHT = 0.85  # letters belong to the brightest 15 % of a picture
_LONGEST = 0.25  # straight runs longer than this share of the side are no letters
_LARGEST = 0.15  # a picture with more than this share "marked" has no markers that we could tell from texture
_TRIES = 12
_JOIN = 0.025  # pieces of a mark lie this near to each other


def detect_markers(
    images: Tensor, masks: Tensor | None = None, *, contrast: float = _CONTRAST, border: float = _BORDER
) -> Tensor:
    """Letters, arrows and tags near the left and right edges, bool (n, 1, H, W), a little grown; all False where none is found.

    White top-hat (what a grey opening removes: bright and thin), thresholded, limited to outside m⁺, cleaned of straight runs
    and single pixels, joined to blocks; what begins in the outer columns is followed inwards. It finds bright marks; dark ones
    only if they contain bright strokes.
    """
    k = 2 * pixels(_STROKE, images) + 1
    opened = _largest(-_largest(-images, k), k)
    bright = images > images.flatten(1).quantile(_BRIGHT, dim=1)[:, None, None, None]
    relief = images - opened
    thin = ((relief > contrast) & bright) | (relief > _STARK)
    if masks is not None:
        thin &= ~lung_region(as_masks(masks, images))
    thin &= ~_long(thin, pixels(_LONGEST, images))
    crowded = functional.avg_pool2d(thin.to(torch.float32), 3, 1, 1) > 2.5 / 9
    marks, step = thin & crowded, pixels(_JOIN, images)
    blocks = marks & _outer(images, border)
    for _ in range(round(_REACH / _JOIN)):
        blocks = blocks | (dilate(blocks, step) & marks)
    blocks = dilate(blocks, step)
    too_much = blocks.flatten(1).to(torch.float32).mean(1) > _LARGEST
    return blocks & ~too_much[:, None, None, None]


def _largest(images: Tensor, side: int) -> Tensor:
    """The largest value in a square around each pixel: along rows, then along columns, which costs less than at once."""
    across = functional.max_pool2d(images, (1, side), 1, (0, side // 2))
    return functional.max_pool2d(across, (side, 1), 1, (side // 2, 0))


def _long(thin: Tensor, length: int) -> Tensor:
    """Parts of straight runs longer than ``length`` along rows or columns: arms, borders and leads, not letters.

    A run may lean by a pixel to either side, but not leap a gap: the bars of letters that stand in a row are no run.
    """
    half = length // 2
    found = torch.zeros_like(thin)
    for along, across in (((2 * half + 1, 1), (1, 3)), ((1, 2 * half + 1), (3, 1))):
        wide = functional.max_pool2d(thin.to(torch.float32), across, 1, (across[0] // 2, across[1] // 2))
        margin = (along[0] // 2, along[1] // 2)
        padded = functional.pad(-wide, (margin[1], margin[1], margin[0], margin[0]), value=0.0)
        eroded = -functional.max_pool2d(padded, along, 1)
        found |= functional.max_pool2d(eroded, along, 1, margin) > 0.5
    return found


def _outer(images: Tensor, border: float) -> Tensor:
    """The columns within ``border`` of the left or right edge, bool (1, 1, 1, W)."""
    width = images.shape[3]
    columns = torch.arange(width, device=images.device)
    return (torch.minimum(columns, width - 1 - columns) < round(border * width))[None, None, None]


def remove_markers(images: Tensor, regions: Tensor, generator: Generator, *, fill: str | Fill = "laplace") -> Tensor:
    """Paint the marked regions over from their surroundings."""
    return get_fill(fill)(images, regions, generator)


def random_patch(images: Tensor, regions: Tensor, masks: Tensor, generator: Generator) -> Tensor:
    """The control's region: each image's marked region, shifted to a random place that avoids marks and dilated lungs.

    Of several random shifts (with wrap-around) the one with the least overlap is taken, so the area is exactly the same.
    """
    avoid = regions | lung_region(as_masks(masks, images))
    n, _, height, width = images.shape
    best, least = regions, torch.full((n,), 2**40, device=images.device)
    for _ in range(_TRIES):
        down = integers(0, height, n, generator, images.device)
        across = integers(0, width, n, generator, images.device)
        shifted = _roll(regions, down, across)
        overlap = (shifted & avoid).flatten(1).sum(1)
        better = overlap < least
        best = torch.where(better[:, None, None, None], shifted, best)
        least = torch.where(better, overlap, least)
    return best


def _roll(regions: Tensor, down: Tensor, across: Tensor) -> Tensor:
    height, width = regions.shape[2:]
    rows = (torch.arange(height, device=regions.device)[None] - down[:, None]) % height
    columns = (torch.arange(width, device=regions.device)[None] - across[:, None]) % width
    picked = regions[:, 0].gather(1, rows[:, :, None].expand(-1, -1, width))
    return picked.gather(2, columns[:, None, :].expand(-1, height, -1))[:, None]


def move_markers(images: Tensor, regions: Tensor, generator: Generator, *, fill: str | Fill = "laplace") -> Tensor:
    """Take the marks to the mirrored place (letters keep their reading direction) and paint over where they were."""
    cleaned = get_fill(fill)(images, regions, generator)
    limits = bounds(regions)
    width = images.shape[3]
    shift = (width - limits[:, 3]) - limits[:, 2]  # left edge of the mirrored box minus that of the box
    zero = torch.zeros_like(shift)
    pasted = _roll(images, zero, shift)
    return torch.where(_roll(regions, zero, shift), pasted, cleaned)


def transplant(images: Tensor, donors: Tensor, donor_regions: Tensor, *, masks: Tensor | None = None) -> Tensor:
    """Paste the donors' marked pixels (the real crop, its ground included) at the same place into the images.

    With ``masks`` the recipients' lungs stay uncovered. Rows whose donor has no mark come back as they were.
    """
    region = donor_regions if masks is None else donor_regions & ~as_masks(masks, images)
    return torch.where(region, donors, images)
