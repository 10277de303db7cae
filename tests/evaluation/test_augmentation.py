"""Augmentation: the right geometry, the right ranges, per sample, and nothing where it is switched off."""

import math

import numpy as np
import torch
from torch.nn import functional

from baselines.recipe import Augmentation
from nas.evaluation.augmentation import Changes, apply_changes, draw_changes

OFF = {"rotation": 0.0, "translation": 0.0, "zoom": 0.0, "flip": 0.0, "brightness": 0.0, "contrast": 0.0}


def pictures(n=5, size=32):
    return torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def apply(images, **settings):
    changes = draw_changes(Augmentation(**{**OFF, **settings}), len(images), torch.Generator().manual_seed(1))
    return apply_changes(images, changes, images.float().mean(dim=(1, 2, 3)) / 255)


def test_switched_off_it_only_scales():
    images = pictures()
    torch.testing.assert_close(apply(images), images.float() / 255)


def test_flip_is_an_exact_mirror():
    images = pictures()
    torch.testing.assert_close(apply(images, flip=1.0), images.flip(-1).float() / 255, atol=1e-4, rtol=0)


def test_half_of_many_images_are_flipped():
    changes = draw_changes(Augmentation(**{**OFF, "flip": 0.5}), 4_000, torch.Generator().manual_seed(1))
    assert 0.45 < (changes.affine[:, 0, 0] < 0).float().mean() < 0.55


def test_geometry_equals_the_librarys_affine_grid():
    images = pictures(3)
    changes = draw_changes(Augmentation(brightness=0, contrast=0), 3, torch.Generator().manual_seed(2))
    grid = functional.affine_grid(changes.affine, [3, 1, 32, 32], align_corners=False)
    expected = functional.grid_sample(images.float() / 255, grid, align_corners=False)
    torch.testing.assert_close(apply_changes(images, changes, torch.zeros(3)), expected, atol=1e-4, rtol=0)


def test_a_quarter_turn_and_a_shift_by_whole_pixels():
    images = pictures(1)
    turn, shift = torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)
    turn[0, :, :2] = torch.tensor([[math.cos(math.pi / 2), -1.0], [1.0, math.cos(math.pi / 2)]])
    shift[0] = torch.tensor([[1.0, 0.0, 2 * 3 / 32], [0.0, 1.0, 0.0]])
    ones, zeros = torch.ones(1), torch.zeros(1)
    turned = apply_changes(images, Changes(turn, ones, zeros), zeros)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)).float() / 255, atol=1e-4, rtol=0)
    moved = apply_changes(images, Changes(shift, ones, zeros), zeros)
    torch.testing.assert_close(moved[..., :-3], images[..., 3:].float() / 255, atol=1e-4, rtol=0)
    assert moved[..., -3:].max() < 1e-4  # dark from outside


def test_contrast_turns_about_the_images_own_mean_and_brightness_adds():
    images = torch.full((6, 1, 8, 8), 100, dtype=torch.uint8)
    torch.testing.assert_close(apply(images, contrast=0.5), images.float() / 255)
    shifts = apply(images, brightness=0.2).mean(dim=(1, 2, 3)) - 100 / 255
    assert shifts.abs().max() <= 0.2
    assert len(shifts.unique()) == 6


def test_every_sample_has_its_own_changes_within_the_ranges():
    changes = draw_changes(
        Augmentation(rotation=10, zoom=0.15, translation=0.1, flip=0), 2_000, torch.Generator().manual_seed(3)
    )
    a, b = changes.affine[:, 0, 0], changes.affine[:, 1, 0]
    angle, scale = torch.atan2(b, a) * 180 / math.pi, 1 / torch.hypot(a, b)
    for values, low, high in ((angle, -10, 10), (scale, 0.85, 1.15), (changes.affine[:, 0, 2] / 2, -0.1, 0.1)):
        assert low - 1e-4 <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high + 1e-4
    assert len(np.unique(angle.numpy())) > 1_900


def test_chunks_do_not_show():
    images = pictures(50)
    changes = draw_changes(Augmentation(), 50, torch.Generator().manual_seed(4))
    means = images.float().mean(dim=(1, 2, 3)) / 255
    whole = apply_changes(images, changes, means)
    single = torch.cat([apply_changes(images[i : i + 1], changes.rows(i, i + 1), means[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(whole, single)
