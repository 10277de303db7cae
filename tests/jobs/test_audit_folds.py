"""``--cross-fit``: folds by group, each image answered by a network that never saw its patient, plain refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch import nn

from baselines.recipe import Recipe
from nas.data import Preprocessing
from nas.data.phantom import phantom
from nas.evaluation import load_candidate, predict_logits, save_candidate
from nas.jobs.audit import audit
from nas.jobs.crossfit import cross_fit, training_of
from nas.jobs.retraining import HowTrained
from search_spaces import Budget, get_space
from search_spaces.errors import InputError

SIZE, SHORT = 32, HowTrained(recipe=Recipe(epochs=1))


@pytest.fixture(scope="module")
def data():
    return phantom(72, SIZE, 3, ("normal", "pneumonia"))


@pytest.fixture(scope="module")
def candidate(data, tmp_path_factory):
    """A saved candidate whose weights are those of no training."""
    directory = tmp_path_factory.mktemp("candidate")
    space = get_space("pepx", classes=2, in_channels=1, image_size=SIZE)
    architecture = space.sample(np.random.default_rng(0), Budget.parse("1M", image_size=SIZE))
    save_candidate(
        directory, model=space.build(architecture, SIZE), architecture=architecture, preprocessing=Preprocessing(image_size=SIZE),
        classes=data.classes, training_hashes=data.image_hashes, name="a candidate",
    )  # fmt: skip
    return directory


def test_each_fold_is_answered_by_the_network_that_trained_on_the_other_groups(data, candidate):
    told = []
    model, logits = cross_fit(
        load_candidate(candidate), data, SHORT, folds=2, progress=lambda text, share: told.append((text, share))
    )
    assert set(model.fold) == {0, 1}
    for group in np.unique(data.group):
        assert len(set(model.fold[data.group == group])) == 1
    for number in (0, 1):
        rows = np.flatnonzero(model.fold == number)
        np.testing.assert_allclose(logits[rows], predict_logits(model.models[number], data.images[rows]), atol=1e-5)
    assert [share for _, share in told] == [0.0, 0.5]
    again, _ = cross_fit(load_candidate(candidate), data, SHORT, folds=2)
    for first, second in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_an_audit_by_cross_fitting_takes_every_image_though_the_weights_on_disk_saw_them_all(data, candidate, monkeypatch):
    monkeypatch.setattr("nas.jobs.crossfit.training_of", lambda model: SHORT)
    with pytest.raises(InputError, match="trained on every one"):
        audit(candidate, data)
    record = audit(candidate, data, cross_fit=2, level="screen")
    assert record.finding.n == len(data)
    assert record.model == "a candidate, trained anew on 2 folds"


@pytest.mark.parametrize(
    ("folds", "message"), [(1, "at least 2 folds, but got 1"), (50, "too few for 50 folds"), (0, "at least 2 folds, but got 0")]
)
def test_folds_that_cannot_be_are_refused_and_leave_nothing(data, candidate, folds, message, tmp_path):
    with pytest.raises(InputError, match=message):
        audit(candidate, data, cross_fit=folds, out=tmp_path / "audit")
    assert not (tmp_path / "audit").exists()


def test_no_fold_is_trained_for_an_audit_that_cannot_be(data, candidate, monkeypatch):
    monkeypatch.setattr("nas.evaluation.train", lambda *_, **__: pytest.fail("trained"))
    record = audit(candidate, data, cross_fit=2)  # 36 groups in a class, and a full audit needs 50
    assert record.verdict == "undecided"
    assert "not auditable: normal, pneumonia" in record.finding.binding_reason
    assert (record.model, record.metrics) == ("a candidate", ())


def test_a_model_without_an_architecture_of_a_space_is_refused(data):
    with pytest.raises(InputError, match="has none of a search space"):
        audit(nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 2)), data, cross_fit=2)


def test_the_folds_are_trained_as_the_candidate_was(tmp_path):
    """With the answers that cured it, and their epochs; a run of an earlier version says only how finalists are trained."""
    (tmp_path / "settings.json").write_text(json.dumps({"epochs": 3, "recipe": {"learning_rate": 0.5}, "pretrained": "shared"}))
    home = tmp_path / "candidates" / "x" / "answered" / "seed0"
    home.mkdir(parents=True)
    recipe = training_of(home).recipe
    assert (recipe.epochs, recipe.learning_rate) == (6, 0.5)  # finalists train twice as long as trials
    assert training_of(home).pretrained
    own = HowTrained(recipe=Recipe(epochs=12, answers=("marker",)))
    (home / "recipe.json").write_text(own.model_dump_json())
    assert training_of(home) == own
    assert training_of(tmp_path.parent) == HowTrained(recipe=Recipe())


def test_a_pretrained_networks_folds_are_pretrained(data, candidate, monkeypatch):
    seen = []
    monkeypatch.setattr("nas.evaluation.pretraining.pretrain", lambda model, *_, seed, **__: seen.append(seed))
    cross_fit(load_candidate(candidate), data, HowTrained(recipe=SHORT.recipe, pretrained=True), folds=2)
    assert len(set(seen)) == 2
