"""Mask morphology, against small masks worked out by hand."""

import pytest
import torch

from nas.edits import as_masks, bounding_box, bounds, dilate, erode, feathered, lung_region, ring, split_sides
from search_spaces.errors import InputError


def dot(size=9, at=(4, 4)):
    mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
    mask[0, 0, at[0], at[1]] = True
    return mask


def test_dilation_alternates_square_and_diamond():
    assert dilate(dot(), 0).sum() == 1
    assert dilate(dot(), 1).sum() == 9
    assert dilate(dot(), 2).sum() == 21  # 5 × 5 without its corners
    assert dilate(torch.zeros_like(dot()), 3).sum() == 0


def test_erosion_undoes_dilation_and_spares_the_border():
    assert torch.equal(erode(dilate(dot(), 1), 1), dot())
    assert erode(torch.ones(1, 1, 5, 5, dtype=torch.bool), 2).all()


def test_ring_lies_around_the_mask():
    band = ring(dot(), 1)
    assert band.sum() == 8
    assert not (band & dot()).any()
    assert not (ring(dot(), 1, gap=1) & dilate(dot(), 1)).any()


def test_bounds_and_boxes():
    mask = dot(at=(2, 3)) | dot(at=(5, 6))
    assert bounds(mask).tolist() == [[2, 6, 3, 7]]
    assert bounding_box(mask).sum() == 16
    assert bounding_box(mask, 1).sum() == 36
    assert bounds(torch.zeros_like(mask)).tolist() == [[0, 0, 0, 0]]
    assert not bounding_box(torch.zeros_like(mask), 2).any()


def test_sides_partition_the_mask():
    mask = dot(at=(2, 1)) | dot(at=(5, 7))
    left, right = split_sides(mask)
    assert torch.equal(left, dot(at=(2, 1)))
    assert torch.equal(right, dot(at=(5, 7)))


def test_feather_is_one_inside_and_falls_outside():
    weight = feathered(dilate(dot(17, (8, 8)), 3), 4)
    assert weight[0, 0, 8, 8] == 1
    profile = weight[0, 0, 8, 8:]
    assert (profile.diff() <= 1e-6).all()
    assert profile[-1] == 0


def test_margins_scale_with_the_picture(batch):
    small, strict = lung_region(batch.masks), lung_region(batch.masks, box=True)
    assert (small & batch.masks).sum() == batch.masks.sum()
    assert (strict & small).sum() == small.sum()
    assert strict.sum() > small.sum()


def test_masks_of_another_shape_are_refused(batch):
    assert as_masks(batch.masks[:, 0], batch.images).shape == batch.masks.shape
    with pytest.raises(InputError, match="masks must be"):
        as_masks(batch.masks[:, :, :32], batch.images)
    with pytest.raises(InputError, match="masks must be"):
        as_masks(batch.masks[:3], batch.images)
