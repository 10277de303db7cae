"""A candidate on disk: the same logits after loading; nothing exchanged, damaged or unsafe is accepted."""

import json

import numpy as np
import pytest
import torch

from nas.data.preprocessing import Preprocessing
from nas.evaluation import load_candidate, predict_logits, save_candidate
from nas.records import EpochRecord, Finding, Metric
from search_spaces import Budget, get_space
from search_spaces.errors import InputError

CLASSES = ("normal", "pneumonia", "covid")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 1, 64, 64), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path):
    space = get_space("pepx", classes=3, in_channels=1, image_size=64)
    architecture = space.sample(np.random.default_rng(0), Budget(flops=3e6, image_size=64))
    model = space.build(architecture, 64)
    predict_logits(model.train(), IMAGES)
    save_candidate(
        tmp_path, model=model, architecture=architecture, preprocessing=Preprocessing(image_size=64, top=0.08), classes=CLASSES,
        metrics=[Metric(name="auroc", value=0.9, n=10, groups=5)], finding=Finding(verdict="undecided", binding_reason="few images"),
        history=[EpochRecord(epoch=1, train_loss=1.0, learning_rate=0.1, validation={"log_loss": 1.0})],
        training_hashes=["b", "a", "a"], name="trial 1",
    )  # fmt: skip
    return tmp_path, model


def test_round_trip(saved):
    directory, model = saved
    loaded = load_candidate(directory)
    np.testing.assert_array_equal(predict_logits(loaded.model, IMAGES), predict_logits(model, IMAGES))
    assert (loaded.classes, loaded.name, loaded.training_hashes) == (CLASSES, "trial 1", frozenset("ab"))
    assert loaded.preprocessing.top == 0.08
    assert not loaded.model.training
    assert (directory / "history.csv").read_text().splitlines()[
        0
    ] == "epoch,train_loss,learning_rate,images_per_second,log_loss"
    assert json.loads((directory / "audit.json").read_text())["verdict"] == "undecided"


def test_a_baseline_round_trip(tmp_path):
    from baselines.registry import get_baseline

    model = get_baseline("cnn").build(classes=3, in_channels=3, image_size=64)
    save_candidate(
        tmp_path,
        model=model,
        baseline={"name": "cnn", "in_channels": 3},
        preprocessing=Preprocessing(image_size=64),
        classes=CLASSES,
    )
    np.testing.assert_array_equal(predict_logits(load_candidate(tmp_path).model, IMAGES), predict_logits(model, IMAGES))


def test_exchanged_weights_are_refused(saved):
    directory, _ = saved
    content = bytearray((directory / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (directory / "weights.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="SHA-256 differs"):
        load_candidate(directory)


def test_what_is_no_candidate_is_named(saved, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match="holds no trained model"):
        load_candidate(empty)
    directory, _ = saved
    (directory / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another version"):
        load_candidate(directory)


def test_either_an_architecture_or_a_baseline_and_a_preprocessing(tiny, tmp_path):
    with pytest.raises(InputError, match="either"):
        save_candidate(tmp_path, model=tiny(), preprocessing=Preprocessing(image_size=64), classes=CLASSES)
    with pytest.raises(InputError, match="preprocessing"):
        save_candidate(tmp_path, model=tiny(), baseline={"name": "cnn"}, preprocessing=None, classes=CLASSES)


def test_shared_weights_can_be_saved(tmp_path):
    layer = torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(layer, layer)
    save_candidate(tmp_path, model=model, baseline={"name": "x"}, preprocessing=Preprocessing(image_size=64), classes=CLASSES)
    assert (tmp_path / "weights.safetensors").exists()
