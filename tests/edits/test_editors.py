"""What each editor changes, what it leaves alone, and that randomness comes from the generator alone."""

import numpy as np
import pytest
import scipy.fft
import torch
import torch.nn.functional as functional

from nas.data.phantom.tags import glyph, paste
from nas.edits import (
    align,
    bounds,
    box_warp,
    content_box,
    detect_markers,
    dilate,
    elsewhere,
    fill_lungs,
    frame_region,
    geometry_features,
    inner_warp,
    lung_region,
    match_donors,
    move_markers,
    only_lungs,
    random_patch,
    remove_lungs,
    remove_markers,
    sharpness,
    silhouettes,
    swap_background,
    swap_collimation,
    swap_frame,
    swap_style,
    transplant,
)
from nas.edits.style import _bands
from search_spaces.errors import InputError


def test_removing_lungs_leaves_the_rest(batch):
    for box in (False, True):
        region = lung_region(batch.masks, box=box)
        edited = remove_lungs(batch.images, batch.masks, batch.generator(), box=box)
        assert torch.equal(edited[~region], batch.images[~region])
        inside = torch.stack([image[mask].std() for image, mask in zip(edited, batch.masks, strict=True)])
        before = torch.stack([image[mask].std() for image, mask in zip(batch.images, batch.masks, strict=True)])
        assert (inside < before).all()


def test_the_control_is_as_large_and_spares_the_lungs(batch):
    region = elsewhere(batch.masks, batch.generator())
    lungs = lung_region(batch.masks)
    assert not (region & lungs).any()
    free = (~lungs).flatten(1).sum(1)
    assert torch.equal(region.flatten(1).sum(1), torch.minimum(lungs.flatten(1).sum(1), free))


def test_only_lungs_keeps_the_lungs(batch):
    edited = only_lungs(batch.images, batch.masks, batch.generator())
    assert torch.equal(edited[batch.masks], batch.images[batch.masks])
    assert (edited != batch.images)[~lung_region(batch.masks)].float().mean() > 0.9


def test_background_swap_keeps_the_lungs_and_nothing_else(batch):
    backgrounds = fill_lungs(batch.images, batch.masks, batch.generator())
    partner = batch.partner
    swapped = swap_background(batch.images, batch.masks, backgrounds[partner], batch.masks[partner])
    assert torch.equal(swapped[batch.masks], batch.images[batch.masks])
    far = ~dilate(batch.masks, 8)
    assert (swapped - batch.images)[far].abs().mean() > 0.02
    plain = swap_background(batch.images, batch.masks, backgrounds[partner], batch.masks[partner], aligned=False)
    torch.testing.assert_close(plain[far], backgrounds[partner][far])


def test_two_donors_differ_outside_the_lungs_only(batch):
    backgrounds = fill_lungs(batch.images, batch.masks, batch.generator())
    arms = [swap_background(batch.images[:4], batch.masks[:4], backgrounds[k : k + 4], batch.masks[k : k + 4]) for k in (4, 8)]
    difference = (arms[0] - arms[1]).abs()
    assert difference[batch.masks[:4]].max() == 0
    assert difference[~dilate(batch.masks[:4], 4)].mean() > 0.01


def test_donors_are_near_different_and_allowed(batch):
    forbidden = torch.eye(12, dtype=torch.bool)
    donors = match_donors(batch.masks, batch.masks, 3, batch.generator(), pool=2, forbidden=forbidden)
    assert donors.shape == (12, 3)
    for row, chosen in enumerate(donors.tolist()):
        assert row not in chosen
        assert len(set(chosen)) == 3
    features = geometry_features(batch.masks)
    spread = features.std(0, unbiased=False)
    near = ((features[:, None] - features[donors]) / spread).norm(dim=2).mean()
    everyone = torch.cdist(features / spread, features / spread).mean()
    assert near < everyone


def test_markers_are_found_removed_and_moved(batch):
    tags = torch.from_numpy(batch.data.truth_maps("marker"))[:, None]
    found = detect_markers(batch.images, batch.masks)
    hit = (found & tags).flatten(1).sum(1) > 0.5 * tags.flatten(1).sum(1)
    assert hit.float().mean() > 0.8
    assert not (found & batch.masks).any()
    clean = remove_markers(batch.images, found, batch.generator())
    assert torch.equal(clean[~found], batch.images[~found])
    assert clean[tags & found].mean() < batch.images[tags & found].mean() - 0.02
    moved = move_markers(batch.images, found, batch.generator())
    assert (moved != clean).flatten(1).any(1)[hit].all()


@pytest.mark.parametrize("height", [0.08, 0.12, 0.16])
def test_letters_in_a_row_are_found_whole_however_large(batch, height):
    pictures, strokes = batch.images.clone(), torch.zeros_like(batch.masks)
    for picture, stroke in zip(pictures[:, 0], strokes[:, 0], strict=True):
        text = glyph("AP", round(height * picture.shape[0]))
        where = paste(picture.numpy(), text, (1, -1), (0.05, 0.05), 1.0)  # in place: the array shares the tensor's memory
        stroke[torch.from_numpy(where)] = torch.from_numpy(text.copy()).flatten() > 0.5
    strokes &= ~lung_region(batch.masks)
    found = detect_markers(pictures, batch.masks)
    assert (found & strokes).sum() > 0.9 * strokes.sum()
    assert found.sum() < 0.12 * found.numel()


def test_straight_runs_are_no_letters():
    pictures = torch.full((2, 1, 64, 64), 0.3)
    pictures[0, 0, 5:60, 6:8] = 1.0
    pictures[1, 0, 8:10, 2:40] = 1.0
    assert not detect_markers(pictures).any()


def test_plain_pictures_have_no_markers():
    ramp = torch.linspace(0, 1, 64)[None, None, None, :].expand(2, 1, 64, 64).contiguous()
    assert not detect_markers(ramp).any()


def test_the_random_patch_has_the_same_area(batch):
    found = detect_markers(batch.images, batch.masks)
    patch = random_patch(batch.images, found, batch.masks, batch.generator())
    assert torch.equal(patch.flatten(1).sum(1), found.flatten(1).sum(1))


def test_transplant_pastes_the_donors_pixels(batch):
    found = detect_markers(batch.images, batch.masks)
    donors, regions = batch.images[batch.partner], found[batch.partner]
    pasted = transplant(batch.images, donors, regions, masks=batch.masks)
    where = regions & ~batch.masks
    assert torch.equal(pasted[where], donors[where])
    assert torch.equal(pasted[~where], batch.images[~where])


def test_frames_are_swapped_and_lungs_kept(batch):
    donors = batch.images[batch.partner]
    edited = swap_frame(batch.images, donors, width=0.1, masks=batch.masks)
    frame = frame_region(batch.images, 0.1)
    assert torch.equal(edited[~frame], batch.images[~frame])
    assert torch.equal(edited[frame & ~batch.masks], donors[frame & ~batch.masks])
    assert torch.equal(edited[batch.masks], batch.images[batch.masks])


def test_collimation_moves_with_the_donor():
    picture = torch.full((1, 1, 40, 40), 0.5)
    donor = torch.zeros(1, 1, 40, 40)
    donor[..., 5:35, 4:36] = 0.7
    assert content_box(donor).tolist() == [[5, 35, 4, 36]]
    edited = swap_collimation(picture, donor)
    assert (edited[..., 5:35, 4:36] == 0.5).all()
    assert (edited[..., :5, :] == 0).all()


def test_inner_warp_moves_the_box_and_leaves_the_border_where_it_is():
    picture = torch.zeros(1, 1, 48, 48)
    picture[:, :, 8:16, 12:24] = 0.5
    picture[:, :, :, :2] = 1  # a stripe along an edge
    picture[:, :, 46:, 46:] = 1  # a mark in a corner
    moved = inner_warp(picture, torch.tensor([[8, 16, 12, 24]]), torch.tensor([[16, 32, 6, 30]]), mode="nearest")
    expected = torch.zeros(1, 1, 48, 48)
    expected[:, :, 16:32, 6:30] = 0.5
    inside = (slice(None), slice(None), slice(4, 44), slice(2, 44))
    torch.testing.assert_close(moved[inside], expected[inside])
    assert (moved[:, :, :, 0] == 1).all()
    assert moved[0, 0, 47, 47] == 1
    same = torch.rand(2, 1, 48, 48)
    none = torch.zeros(2, 4, dtype=torch.int64)
    torch.testing.assert_close(inner_warp(same, none, torch.tensor([[8, 16, 4, 12]] * 2)), same)
    torch.testing.assert_close(inner_warp(same, torch.tensor([[8, 16, 4, 12]] * 2), torch.tensor([[8, 16, 4, 12]] * 2)), same)


def test_box_warp_moves_boxes_exactly():
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 8:16, 4:12] = 1
    moved = box_warp(picture, torch.tensor([[8, 16, 4, 12]]), torch.tensor([[16, 32, 8, 24]]), mode="nearest")
    expected = torch.zeros_like(picture)
    expected[..., 16:32, 8:24] = 1
    assert torch.equal(moved, expected)


def test_alignment_takes_the_targets_geometry(batch):
    target = batch.masks[batch.partner]
    _, warped = align(batch.images, batch.masks, target)
    assert (bounds(warped) - bounds(target)).abs().max() <= 2


def test_silhouettes_show_the_mask_and_nothing_else(batch):
    pictures = silhouettes(batch.masks, batch.images)
    assert pictures.unique().tolist() == pytest.approx([0.25, 0.6])


def test_style_swap_reads_outside_the_lungs_only(batch):
    donors, donor_masks = batch.images[batch.partner], batch.masks[batch.partner]
    styled = swap_style(batch.images, batch.masks, donors, donor_masks, batch.generator())
    changed_lungs = torch.where(donor_masks, 1 - donors, donors)
    again = swap_style(batch.images, batch.masks, changed_lungs, donor_masks, batch.generator())
    torch.testing.assert_close(styled, again, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="mood"):
        swap_style(batch.images, batch.masks, donors, donor_masks, batch.generator(), parts=("mood",))


def test_style_swap_recovers_a_gamma_and_a_blur(batch):
    small = functional.interpolate(batch.images.clamp_min(1e-6) ** 1.4, scale_factor=0.5, mode="area")
    donors = functional.interpolate(small, size=batch.images.shape[2:], mode="bilinear")
    styled = swap_style(batch.images, batch.masks, donors, batch.masks, batch.generator(), parts=("histogram", "sharpness"))
    outside = ~lung_region(batch.masks)
    assert (styled - donors)[batch.masks].abs().mean() < 0.5 * (batch.images - donors)[batch.masks].abs().mean()
    far = (sharpness(styled, outside) / sharpness(donors, outside)).log().abs()
    assert (far < (sharpness(batch.images, outside) / sharpness(donors, outside)).log().abs()).float().mean() > 0.9


@pytest.mark.parametrize("gamma", [0.65, 1 / 0.65])
def test_style_swap_follows_a_gamma_that_takes_air_over_the_threshold_of_body(batch, gamma):
    side = batch.images.shape[-1]
    across = (torch.arange(side) - side // 2).abs() > 0.42 * side  # air on both sides, 0.055 or, brightened, 0.15
    aired = torch.where(across & ~batch.masks, torch.tensor(0.055), batch.images.clamp(0.12, 0.9))
    pictures = aired if gamma < 1 else aired**0.65
    donors = pictures**gamma
    styled = swap_style(pictures, batch.masks, donors, batch.masks, batch.generator(), parts=("histogram",))
    truth, got = ((other - pictures)[batch.masks].mean() for other in (donors, styled))
    assert 0.1 < float(got / truth) < 1.2  # not the whole way: of so narrow a range of tones the exponent is told poorly


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_style_swap_enlarges_a_sharp_image_as_its_donor_was_enlarged(batch, share):
    small = functional.interpolate(batch.images, scale_factor=share, mode="area")
    enlarged = functional.interpolate(small, size=batch.images.shape[2:], mode="bilinear")
    partner = batch.partner
    styled = swap_style(
        batch.images, batch.masks, enlarged[partner], batch.masks[partner], batch.generator(), parts=("sharpness",)
    )
    finest = [next(iter(_bands(pictures))).abs().mean((1, 2, 3)) for pictures in (batch.images, styled, enlarged)]
    assert (finest[1] < 0.5 * finest[0]).all()
    assert (finest[2] < 0.5 * finest[0]).all()
    assert (styled - enlarged).abs().mean() < 0.8 * (batch.images - enlarged).abs().mean()


def test_letters_hardly_move_the_sharpness(batch):
    lettered = batch.images.clone()
    lettered[:, :, 2:8:2, 2:12] = 1
    everywhere = torch.ones_like(batch.images, dtype=torch.bool)
    assert (sharpness(lettered, everywhere) / sharpness(batch.images, everywhere)).max() < 1.4


def test_bands_of_detail_are_those_of_the_cosine_transform(batch):
    spectra = [scipy.fft.dctn(band[0, 0].double().numpy(), norm="ortho") for band in _bands(batch.images)]
    whole = scipy.fft.dctn(batch.images[0, 0].double().numpy(), norm="ortho")
    side = len(whole)
    place = np.maximum(*np.indices(whole.shape))
    edges = [side, *(round(side * 2 ** (-step / 2)) for step in range(1, 5))]
    for spectrum, above, below in zip(spectra, edges, edges[1:], strict=False):
        np.testing.assert_allclose(spectrum, np.where((place >= below) & (place < above), whole, 0), atol=1e-4)
