"""Training answers reach the batches, repeat by seed, and what belongs to every image is kept out of the loop."""

import numpy as np
import pytest
import torch

from baselines.recipe import Recipe
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, train
from nas.evaluation.answers import Answers
from search_spaces.errors import InputError


@pytest.fixture(scope="module")
def marked():
    return phantom(n=60, image_size=48, seed=1, shortcut="marker@0.95")


def test_edits_change_training_batches_and_repeat_by_seed(marked):
    data, rows = DeviceData(marked), torch.arange(30)
    answers = Answers(Recipe(answers=("donor_swap", "marker", "frame", "style")), data, np.arange(40))
    results = []
    for epoch in (0, 0, 1):
        answers.start(7, epoch)
        images, means = answers.apply(data.gather(rows), rows)
        assert images.shape == (30, 1, 48, 48)
        assert 0 <= images.min() < images.max() <= 255.001
        torch.testing.assert_close(means, images.mean(dim=(1, 2, 3)) / 255, atol=1e-4, rtol=0)
        results.append(images)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert (results[0] - data.gather(rows).float()).abs().mean() > 1


def test_no_answers_touch_nothing(marked):
    data, rows = DeviceData(marked), torch.arange(5)
    images, means = Answers(Recipe(), data, np.arange(40)).apply(data.gather(rows), rows)
    assert images.dtype == torch.uint8
    assert means is None


def test_training_with_answers_and_sources(marked, tiny):
    recipe = Recipe(epochs=1, batch_size=16, answers=("donor_swap", "source_balanced"))
    training = train(tiny(), DeviceData(marked), np.arange(40), np.arange(40, 60), recipe, seed=0, image_size=32)
    assert len(training.history) == 1


def test_a_crop_is_no_matter_of_training(marked):
    with pytest.raises(InputError, match=r"crop_body changes all images.* search again with --crop lungs"):
        Answers(Recipe(answers=("marker", "crop_body")), DeviceData(marked), np.arange(40))


def test_unknown_answers_and_missing_sources_are_named(striped):
    with pytest.raises(InputError, match="unknown training answer"):
        Answers(Recipe(answers=("nonsense",)), striped, np.arange(40))
    with pytest.raises(InputError, match="needs a data set with sources"):
        Answers(Recipe(answers=("source_balanced",)), striped, np.arange(40))
