"""The background donor swap: the recipient's lungs on the lung-filled background of a donor of similar geometry.

Both arms of a test (donors of the class, donors not of it) carry the same editing artefact, so that their difference is what
the background's class says to the model.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from nas.edits.fills import Fill, get_fill
from nas.edits.geometry import align
from nas.edits.masks import LUNG_MARGIN, as_masks, bounds, feathered, lung_region, pixels
from nas.edits.randomness import permutation

_FEATHER = 0.02  # width of the soft seam, in shares of the side


def geometry_features(masks: Tensor) -> Tensor:
    """Lung area, height, width and centre in shares of the image, float32 (n, 5): what donors are matched on."""
    height, width = masks.shape[-2:]
    shaped = masks[:, None] if masks.ndim == 3 else masks
    top, bottom, left, right = bounds(shaped).to(torch.float32).unbind(1)
    area = shaped.flatten(1).to(torch.float32).mean(1)
    return torch.stack(
        [area.sqrt(), (bottom - top) / height, (right - left) / width, (top + bottom) / 2 / height, (left + right) / 2 / width],
        1,
    )


def match_donors(
    recipients: Tensor, donors: Tensor, count: int, generator: Generator, *, pool: int = 4, forbidden: Tensor | None = None
) -> Tensor:
    """For each recipient, ``count`` different donors of similar lung geometry, int64 (n, count), indices into ``donors``.

    Args:
        recipients: masks (n, 1, H, W) or (n, H, W).
        donors: masks of the candidates, (m, …), m ≥ count.
        pool: donors are drawn at random from the ``pool`` × ``count`` nearest, so that few donors do not serve everybody.
        forbidden: bool (n, m), pairs never to be made (the same patient); a recipient needs ``count`` others.
    """
    wanted, offered = geometry_features(recipients), geometry_features(donors)
    spread = offered.std(0, unbiased=False).clamp_min(1e-3)
    distance = torch.cdist(wanted / spread, offered / spread)
    if forbidden is not None:
        distance = distance.masked_fill(forbidden.to(distance.device), float("inf"))
    near = distance.topk(min(pool * count, distance.shape[1]), largest=False)
    chance = torch.rand(near.values.shape, generator=generator, device=generator.device).to(distance.device)
    chance = chance.masked_fill(near.values.isinf(), -1.0)
    return near.indices.gather(1, chance.topk(count, dim=1).indices)


def fill_lungs(
    images: Tensor, masks: Tensor, generator: Generator, *, fill: str | Fill = "ring", margin: float = LUNG_MARGIN
) -> Tensor:
    """Backgrounds B: the images with the dilated lungs filled; compute them once and swap them many times."""
    return get_fill(fill)(images, lung_region(as_masks(masks, images), margin=margin), generator)


def swap_background(
    images: Tensor,
    masks: Tensor,
    backgrounds: Tensor,
    donor_masks: Tensor,
    *,
    margin: float = LUNG_MARGIN,
    aligned: bool = True,
) -> Tensor:
    """Put each image's lungs on a donor's lung-filled background, with a soft seam.

    Args:
        images, masks: recipients, (n, 1, H, W).
        backgrounds, donor_masks: the donors' ``fill_lungs`` results and lung masks, row for row.
        margin: how much around the recipient's lungs comes along. 0 takes the tight lungs only.
        aligned: first warp the background so that the donor's lung box lies where the recipient's does.
    """
    lungs = as_masks(masks, images)
    if aligned:
        backgrounds, _ = align(backgrounds, donor_masks, lungs)
    weight = feathered(lung_region(lungs, margin=margin), pixels(_FEATHER, images))
    return torch.lerp(backgrounds, images, weight)  # exact where the weight is 0 or 1


def donor_partners(n: int, generator: Generator, device: torch.device) -> Tensor:
    """For each row of a batch another row of it, int64 (n,); a batch of one is its own partner."""
    order = permutation(n, generator, device)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner
