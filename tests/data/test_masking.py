from dataclasses import replace

import numpy as np

from nas.data.masking import with_masks
from nas.data.phantom import phantom


def without_masks(dataset, rows):
    packed, has = dataset.packed_masks.copy(), dataset.has_mask.copy()
    packed[rows], has[rows] = 0, False
    return replace(dataset, packed_masks=packed, has_mask=has)


def test_missing_masks_are_segmented_and_brought_ones_kept():
    dataset = phantom(n=24, image_size=96, seed=3)
    truth = dataset.masks()
    filled = with_masks(without_masks(dataset, np.arange(12)))
    np.testing.assert_array_equal(filled.masks()[12:], truth[12:])
    made = np.flatnonzero(filled.has_mask[:12])
    assert len(made) >= 6
    overlap = (
        (filled.masks()[made] & truth[made]).sum((1, 2)) * 2 / (filled.masks()[made].sum((1, 2)) + truth[made].sum((1, 2)))
    )
    assert np.median(overlap) > 0.8
    assert any("shipped segmenter" in note for note in filled.notes)


def test_only_the_rows_that_are_asked_for_are_segmented():
    dataset = without_masks(phantom(n=12, image_size=64, seed=3), np.arange(12))
    filled = with_masks(dataset, np.array([0, 1, 2]))
    assert not filled.has_mask[3:].any()


def test_pictures_without_lungs_get_no_mask_and_are_counted():
    dataset = without_masks(phantom(n=6, image_size=64, seed=3), np.arange(6))
    noise = np.random.default_rng(0).integers(0, 256, dataset.images.shape, dtype=np.uint8)
    filled = with_masks(replace(dataset, images=noise))
    assert not filled.has_mask.any()
    assert not filled.masks().any()
    assert "6 not trusted" in filled.notes[-1]


def test_nothing_changes_where_nothing_is_missing():
    dataset = phantom(n=6, image_size=64, seed=3)
    assert with_masks(dataset) is dataset
