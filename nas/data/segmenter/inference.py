"""Segment lungs and judge the result: an implausible or unstable mask is no mask."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.segmenter.network import LungNet

WEIGHTS = Path(__file__).with_name("weights.safetensors")
_BATCH = 64
_SMALLEST, _LARGEST = 0.06, 0.65  # both lungs together, in shares of the picture
_LESSER_LUNG = 0.22  # the smaller lung's share of both
_AGREEMENT = 0.82  # Dice between the segmentations of a picture, its mirror image and shifted copies
_FILLED = 0.80  # share of its row-wise span that a lung fills at least
_EROSIONS = 4  # pixels of 96 that the two lungs may be joined by on each side
_SHIFT = 6  # pixels, of the network's 96

REASONS = ("one lung or none", "implausible size", "lopsided", "ragged", "unstable")


def segment(images: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Segment the lungs of chest X-rays.

    The masks follow the convention of the phantom and of most public human masks: both lungs out to the ribs and down to
    the diaphragm, *the part behind the heart included*.

    Args:
        images: uint8 (n, 1, H, W), bright = dense.

    Returns:
        masks bool (n, 1, H, W); ok bool (n,): plausible, and stable under flips and shifts; reasons, one string an image,
        "" where ok, else one of ``REASONS``. Use no mask that is not ok: exclude the image and count it.
    """
    if images.ndim != 4 or images.shape[1] != 1 or images.dtype != np.uint8:
        raise InputError(f"images must be uint8 (n, 1, H, W), but got {images.dtype} {images.shape}")
    masks = np.zeros(images.shape, bool)
    reasons: list[str] = []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        chance, agreement = _predict(batch)
        for i, (map_, agreed) in enumerate(zip(chance, agreement, strict=True)):
            mask, reason = _judge(map_ > 0.5, agreed)
            reasons.append(reason)
            if reason == "" or mask.any():
                masks[start + i, 0] = _resize(map_, mask, images.shape[2:])
    return masks, np.array([reason == "" for reason in reasons], bool), reasons


@lru_cache(maxsize=1)
def _network() -> LungNet:
    from safetensors.torch import load

    from nas.data.segmenter.network import LungNet

    net = LungNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load(WEIGHTS.read_bytes()).items()})
    return net.eval().requires_grad_(False)


def _predict(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean probability map (n, S, S) over the picture, its mirror image and two shifts, and the worst Dice among them."""
    import torch

    from nas.data.segmenter.network import prepare

    net = _network()
    with torch.inference_mode():
        x = prepare(torch.from_numpy(images.copy()))  # torch warns of arrays that nobody may write to
        views = [net(x).sigmoid(), net(x.flip(3)).sigmoid().flip(3)]
        for down, across in ((_SHIFT, _SHIFT), (-_SHIFT, -_SHIFT)):
            moved = torch.roll(x, (down, across), (2, 3))
            views.append(torch.roll(net(moved).sigmoid(), (-down, -across), (2, 3)))
        mean = torch.stack(views).mean(0)
        inner = torch.zeros_like(mean, dtype=torch.bool)
        inner[..., _SHIFT:-_SHIFT, _SHIFT:-_SHIFT] = True  # rolled-in borders say nothing
        agreement = torch.stack([_dice(view > 0.5, mean > 0.5, inner) for view in views]).amin(0)
        return mean[:, 0].numpy(), agreement.numpy()


def _dice(first: Tensor, second: Tensor, where: Tensor) -> Tensor:
    first, second = first & where, second & where
    return 2 * (first & second).sum((1, 2, 3)) / (first.sum((1, 2, 3)) + second.sum((1, 2, 3))).clamp_min(1)


def _judge(mask: NDArray[np.bool_], agreement: float) -> tuple[NDArray[np.bool_], str]:
    """Keep the two largest parts, holes filled; returns them and why they are not trusted ("" if they are)."""
    lungs = [ndimage.binary_fill_holes(part) for part in _parts(mask)]
    if len(lungs) < 2 or lungs[1].sum() < 0.05 * lungs[0].sum():
        return mask, REASONS[0]
    both = lungs[0] | lungs[1]
    areas = [int(lung.sum()) for lung in lungs]
    if not _SMALLEST <= both.mean() <= _LARGEST:
        return both, REASONS[1]
    if min(areas) / sum(areas) < _LESSER_LUNG or not _side_by_side(lungs[0], lungs[1]):
        return both, REASONS[2]
    if any(_smoothness(lung) < _FILLED for lung in lungs):
        return both, REASONS[3]
    return both, "" if agreement >= _AGREEMENT else REASONS[4]


def _parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The two largest connected parts; lungs that touch are told apart by what remains of them after erosion."""
    for erosion in range(_EROSIONS + 1):
        core = ndimage.binary_erosion(mask, iterations=erosion) if erosion else mask
        labels, count = ndimage.label(core)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        order = np.argsort(sizes)[::-1][:2] + 1
        if count >= 2 and sizes[order[1] - 1] > _LESSER_LUNG / 2 * sizes[order[0] - 1]:
            seeds = np.where(np.isin(labels, order), labels, 0)
            nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
            grown = np.where(ndimage.binary_dilation(seeds > 0, iterations=erosion + 1) & mask, seeds[tuple(nearest)], 0)
            return [grown == k for k in order]
    return [mask] if mask.any() else []


def _side_by_side(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    """Whether two lungs share most of their rows and stand apart across."""
    rows, others = np.flatnonzero(first.any(1)), np.flatnonzero(second.any(1))
    shared = len(np.intersect1d(rows, others)) / min(len(rows), len(others))
    apart = abs(np.nonzero(first)[1].mean() - np.nonzero(second)[1].mean()) / first.shape[1]
    return bool(shared > 0.5 and apart > 0.15)


def _smoothness(lung: NDArray[np.bool_]) -> float:
    """Share of a lung's row-wise span that it fills: below 1 where its outline is torn."""
    rows = lung.any(1)
    left = lung.argmax(1)
    right = lung.shape[1] - lung[:, ::-1].argmax(1)
    return float(lung.sum() / np.where(rows, right - left, 0).sum())


def _resize(chance: NDArray[np.float32], keep: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask at the picture's own size: probabilities interpolated, limited to the kept parts."""
    import torch
    import torch.nn.functional as functional

    field = np.where(ndimage.binary_dilation(keep, iterations=2), np.where(keep, np.maximum(chance, 0.51), chance), 0)
    tensor = torch.from_numpy(field.astype(np.float32))[None, None]
    return functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0].numpy() > 0.5
