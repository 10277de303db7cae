"""The training answers: named, applied by name, label-blind, harmless without masks."""

import pytest
import torch

from nas.edits import ANSWERS, answers_to, apply_answers, get_answer
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
    if ANSWERS[name].needs_masks and name != "style":
        torch.testing.assert_close(edited[::2], batch.images[::2], atol=1e-5, rtol=0)


def test_a_verdict_finds_its_answers():
    assert answers_to(["T4"]) == ("marker", "crop_body")
    assert "donor_swap" in answers_to(["T3"])
    assert answers_to(["T8"]) == ("source_balanced",)
    assert answers_to([]) == ()


def test_donor_swap_keeps_lungs(batch):
    edited = apply_answers(batch.images, batch.masks, ["donor_swap"], batch.generator())
    assert torch.equal(edited[batch.masks], batch.images[batch.masks])


def test_an_unknown_answer_is_named():
    with pytest.raises(InputError, match="'prayer'"):
        get_answer("prayer")
