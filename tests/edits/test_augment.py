"""The training answers: named, applied by name, label-blind, harmless without masks."""

import pytest
import torch

from nas.data.phantom import phantom
from nas.edits import (
    ANSWERS,
    OUTLINE_MARGIN,
    answers_to,
    apply_answers,
    bounds,
    erode,
    get_answer,
    inner_warp,
    lung_region,
    swap_geometry,
)
from search_spaces.errors import InputError


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_keeps_shape_range_and_generator_discipline(batch, name):
    before = torch.random.get_rng_state()
    edited = apply_answers(batch.images, batch.masks, [name], batch.generator())
    assert edited.shape == batch.images.shape
    assert edited.isfinite().all()
    assert 0 <= edited.min() <= edited.max() <= 1
    assert torch.equal(edited, apply_answers(batch.images, batch.masks, [name], batch.generator()))
    assert torch.equal(before, torch.random.get_rng_state())
    if ANSWERS[name].edit is not None:
        assert not torch.equal(edited, batch.images)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_rows_without_a_mask_survive(batch, name):
    masks = batch.masks.clone()
    masks[::2] = False
    edited = apply_answers(batch.images, masks, [name], batch.generator())
    assert edited.isfinite().all()
    if name in ("style", "donor_swap", "geometry"):
        torch.testing.assert_close(edited[::2], batch.images[::2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["style", "donor_swap", "geometry"])
def test_rows_without_a_mask_give_nothing_either(batch, name):
    """What lies outside the lungs of a row is unknown without its mask, so no other row takes that over."""
    masks = batch.masks.clone()
    masks[1:] = False
    assert torch.equal(apply_answers(batch.images, masks, [name], batch.generator()), batch.images)


def test_a_verdict_finds_its_answers():
    assert answers_to(["T4"]) == ("marker", "crop_body")
    assert "donor_swap" in answers_to(["T3"])
    assert answers_to(["T8"]) == ("source_balanced",)
    assert answers_to(["T13"]) == ("geometry",)
    assert answers_to(["T3", "T13"]) == ("donor_swap",)  # T13's donors bring the background along
    assert answers_to(["T4", "T13"]) == answers_to(["T4"])  # and the marks on it
    assert answers_to(["T5", "T13"]) == answers_to(["T5"])  # and its frame
    assert answers_to([]) == ()


def test_donor_swap_keeps_lungs(batch):
    edited = apply_answers(batch.images, batch.masks, ["donor_swap"], batch.generator())
    assert torch.equal(edited[batch.masks], batch.images[batch.masks])


def test_an_unknown_answer_is_named():
    with pytest.raises(InputError, match="'prayer'"):
        get_answer("prayer")


@pytest.fixture(scope="module")
def told_apart():
    """200 chests of two kinds: one darker in tone with small lungs, one as drawn with large lungs."""
    data = phantom(n=200, image_size=48, seed=5, classes=("normal", "pneumonia"))
    images, masks = torch.from_numpy(data.images).float() / 255, torch.from_numpy(data.masks())[:, None]
    kind = torch.arange(200) % 2 == 0
    images = torch.where(kind[:, None, None, None], images * 0.6, images)
    centre = bounds(masks)
    middle, half = (centre[:, 0::2] + centre[:, 1::2]) / 2, (centre[:, 1::2] - centre[:, 0::2]) / 2
    half = half * torch.where(kind, 0.7, 1.0)[:, None]
    target = torch.stack(
        [middle[:, 0] - half[:, 0], middle[:, 0] + half[:, 0], middle[:, 1] - half[:, 1], middle[:, 1] + half[:, 1]], 1
    )
    small = inner_warp(masks.float(), centre, target.round().long(), mode="nearest") > 0.5
    return inner_warp(images, centre, target.round().long()), small, kind


def test_the_answer_to_a_style_finding_leaves_little_of_the_association(told_apart):
    images, masks, kind = told_apart
    edited = apply_answers(images, masks, ["style"], torch.Generator().manual_seed(0))
    outside = (~masks) & (images > 0.08)

    def tone(shown):
        return (shown * outside).sum((1, 2, 3)) / outside.sum((1, 2, 3))

    before, after = tone(images), tone(edited)
    assert before[~kind].mean() - before[kind].mean() > 0.1
    assert abs(after[~kind].mean() - after[kind].mean()) < 0.2 * (before[~kind].mean() - before[kind].mean())


@pytest.mark.parametrize("others", [(), ("donor_swap",), ("donor_swap", "frame", "marker")])
def test_lungs_lose_their_style_whatever_else_is_answered(told_apart, others):
    """Lungs set on another background before their style was read would keep their own: the kinds' tones would stay apart."""
    images, masks, kind = told_apart
    edited = apply_answers(images, masks, [*others, "style"], torch.Generator().manual_seed(0))
    core = erode(masks, 2)

    def tone(shown):
        return (shown * core).sum((1, 2, 3)) / core.sum((1, 2, 3))

    before, after = tone(images), tone(edited)
    assert before[~kind].mean() - before[kind].mean() > 0.05
    assert abs(after[~kind].mean() - after[kind].mean()) < 0.3 * (before[~kind].mean() - before[kind].mean())


def test_the_answer_to_a_geometry_finding_leaves_little_of_the_association(told_apart):
    _, masks, kind = told_apart
    lungs_only = masks.float()  # what the same warps make of the lungs themselves
    edited = apply_answers(lungs_only, masks, ["geometry"], torch.Generator().manual_seed(0))
    before, after = lungs_only.mean((1, 2, 3)), edited.mean((1, 2, 3))
    assert before[~kind].mean() > 1.5 * before[kind].mean()
    assert abs(after[~kind].mean() - after[kind].mean()) < 0.25 * (before[~kind].mean() - before[kind].mean())


def test_geometry_keeps_the_texture_of_the_lungs_and_takes_the_donors_body(batch):
    outlines = lung_region(batch.masks, margin=OUTLINE_MARGIN)
    bodies = torch.full_like(batch.images, 0.9)
    texture = torch.full_like(batch.images, 0.1)
    swapped = swap_geometry(texture, batch.masks, bodies, batch.masks[batch.partner], outlines[batch.partner])
    torch.testing.assert_close(swapped[batch.masks[batch.partner]], torch.full_like(swapped[batch.masks[batch.partner]], 0.1))
    far = ~lung_region(batch.masks[batch.partner], margin=0.08)
    torch.testing.assert_close(swapped[far], torch.full_like(swapped[far], 0.9))
