"""Batches: every image in turn, classes in balance, the same epoch from the same seed."""

import numpy as np
import pytest

from baselines.recipe import Recipe
from nas.evaluation.batches import plan_epoch, steps_per_epoch

INDICES = np.arange(100, 190)
LABELS = np.array([0] * 60 + [1] * 25 + [2] * 5)


def test_balanced_batches_show_each_class_equally_and_each_image_of_a_class_equally():
    plan = plan_epoch(INDICES, LABELS, Recipe(batch_size=30), seed=0, epoch=0)
    assert plan.indices.shape == (3, 30)
    for batch in plan.indices.numpy():
        assert np.bincount(LABELS[batch - 100]).tolist() == [10, 10, 10]
    shown = np.bincount(plan.indices.numpy().ravel() - 100, minlength=90)
    for name in range(3):
        own = shown[name == LABELS]
        assert own.max() - own.min() <= 1


def test_unbalanced_epochs_show_every_image_once():
    plan = plan_epoch(INDICES, LABELS, Recipe(batch_size=30, class_balanced=False), seed=0, epoch=0)
    assert sorted(plan.indices.flatten().tolist()) == INDICES.tolist()


def test_epochs_differ_and_repeat_by_seed():
    first, again, next_epoch, other = (
        plan_epoch(INDICES, LABELS, Recipe(), seed=seed, epoch=epoch).indices
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert (first == again).all()
    assert not (first == next_epoch).all()
    assert not (first == other).all()


def test_fewer_images_than_a_batch():
    plan = plan_epoch(INDICES[:7], LABELS[:7], Recipe(batch_size=32), seed=0, epoch=0)
    assert plan.indices.shape == (1, 7)
    assert steps_per_epoch(Recipe(batch_size=32), 3000) == 94


@pytest.mark.parametrize("class_balanced", [True, False])  # an answer to a finding is not lost on a recipe without balance
def test_sources_share_each_class_equally(class_balanced):
    sources = np.where(np.arange(90) % 10 == 0, 1, 0)
    recipe = Recipe(batch_size=30, class_balanced=class_balanced)
    plan = plan_epoch(INDICES, LABELS, recipe, seed=0, epoch=0, sources=sources)
    shown = plan.indices.numpy().ravel() - 100
    for name in range(3):
        own = sources[shown[LABELS[shown] == name]]
        if len(np.unique(sources[name == LABELS])) == 2:
            assert abs(int((own == 1).sum()) - int((own == 0).sum())) <= 1
