"""One decision: an image that the model trained on is said to be one, masks of every form, plain refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Preprocessing
from nas.data.phantom import phantom
from nas.evaluation import save_candidate
from nas.jobs.audit import audit
from nas.jobs.audit_image import audit_image
from nas.report.decision import decision_text
from search_spaces import Budget, get_space
from search_spaces.errors import InputError

SIZE = 32
TOLD = "the model trained on this image"


@pytest.fixture(scope="module")
def trained():
    return phantom(8, SIZE, 3, ("normal", "pneumonia"))


@pytest.fixture(scope="module")
def others():
    return phantom(60, SIZE, 4, ("normal", "pneumonia"))


@pytest.fixture(scope="module")
def candidate(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("candidate")
    space = get_space("pepx", classes=2, in_channels=1, image_size=SIZE)
    architecture = space.sample(np.random.default_rng(0), Budget.parse("1M", image_size=SIZE))
    save_candidate(
        directory, model=space.build(architecture, SIZE), architecture=architecture, preprocessing=Preprocessing(image_size=SIZE),
        classes=trained.classes, training_hashes=trained.image_hashes, name="a candidate",
    )  # fmt: skip
    return directory


def written(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_an_image_that_the_model_trained_on_is_said_to_be_one(candidate, trained, others, tmp_path):
    seen = audit_image(candidate, written(tmp_path / "seen.png", trained.images[0, 0]), others).record()
    assert seen["trained_on"]
    assert TOLD in decision_text(seen)
    new = audit_image(candidate, written(tmp_path / "new.png", phantom(1, SIZE, 9).images[0, 0]), others).record()
    assert not new["trained_on"]
    assert TOLD not in decision_text(new)


def test_an_image_that_shows_little_is_said_to(candidate, others, tmp_path):
    few = audit_image(candidate, written(tmp_path / "few.png", others.images[0, 0, :9, :20]), others)
    assert "what finer detail would do: the image has 20 × 9 pixels, and was enlarged to 32" in few.unsaid
    blank = audit_image(candidate, written(tmp_path / "blank.png", np.full((SIZE, SIZE), 7, np.uint8)), others)
    assert blank.unsaid[-1] == "what the model makes of a chest: the image is of one grey value"
    usual = audit_image(candidate, written(tmp_path / "usual.png", phantom(1, SIZE, 9).images[0, 0]), others)
    assert not any("enlarged" in text or "grey value" in text for text in usual.unsaid)


def test_an_image_that_no_mask_is_found_for_is_answered_without_a_warning(candidate, others, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    torch.set_warn_always(True)  # else only the first warning of a process counts
    try:
        found = audit_image(candidate, written(tmp_path / "noise.png", noise), others)
    finally:
        torch.set_warn_always(False)
    assert not found.carried


def test_the_critical_region_is_scored_with_fills_that_did_not_seek_it(candidate, others, trained, tmp_path):
    region = audit_image(candidate, written(tmp_path / "image.png", trained.images[1, 0]), others).record()["region"]
    assert {name for name, found in region.items() if isinstance(found, dict)} == {"ring", "constant"}


def test_masks_of_ones_and_of_255_are_the_same(candidate, others, trained, tmp_path):
    image = written(tmp_path / "image.png", trained.images[1, 0])
    lungs = trained.masks([1])[0].astype(np.uint8)
    ones, usual = (audit_image(candidate, image, others, mask=written(tmp_path / "m.png", lungs * top)) for top in (1, 255))
    assert ones.record() == usual.record()
    assert "lungs removed" in ones.carried


@pytest.mark.parametrize("level", [0, 255])
def test_a_mask_that_no_lungs_could_have_is_refused(candidate, others, trained, tmp_path, level):
    image = written(tmp_path / "image.png", trained.images[1, 0])
    pixels = np.full((SIZE, SIZE), level, np.uint8)
    pixels[:1, :1] = 0
    with pytest.raises(InputError, match=r"mask .* covers (0|100)% of the image"):
        audit_image(candidate, image, others, mask=written(tmp_path / "mask.png", pixels))
    with pytest.raises(InputError, match=r"cannot read mask .*gone\.png"):
        audit_image(candidate, image, others, mask=tmp_path / "gone.png")


def test_an_image_and_its_mask_are_cut_to_the_lungs_as_training_was(trained, tmp_path):
    space = get_space("pepx", classes=2, in_channels=1, image_size=SIZE)
    architecture = space.sample(np.random.default_rng(0), Budget.parse("1M", image_size=SIZE))
    save_candidate(
        tmp_path / "cut", model=space.build(architecture, SIZE), architecture=architecture,
        preprocessing=Preprocessing.parse("lungs", SIZE), classes=trained.classes, name="cut",
    )  # fmt: skip
    drawn = phantom(1, 96, 77)
    chest, mask = np.zeros((2, 140, 130), np.uint8)
    chest[36:132, 30:126], mask[36:132, 30:126] = drawn.images[0, 0], drawn.masks()[0] * 255
    image = written(tmp_path / "chest.png", chest)
    others = "phantom:n=90,seed=4"
    found = audit_image(tmp_path / "cut", image, others, mask=written(tmp_path / "mask.png", mask))
    assert found.carried
    assert not any("none were found" in text for text in found.unsaid)
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    missed = audit_image(tmp_path / "cut", written(tmp_path / "noise.png", noise), others)
    assert "a crop to its lungs: none were found, and the image is used whole" in decision_text(missed.record())


def test_a_negative_seed_is_refused_from_python_too(candidate, others, tmp_path):
    with pytest.raises(InputError, match="seed must be 0 or more, but got -1"):
        audit_image(candidate, tmp_path / "image.png", others, seed=-1)
    with pytest.raises(InputError, match="seed must be 0 or more, but got -1"):
        audit(candidate, others, seed=-1)
