"""Predictions: same numbers as the model, thresholds from validation, notices for foreign images, evidence where it is."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.data import Parts, Preprocessing, prepare
from nas.data.phantom import phantom
from nas.evaluation import LoadedModel
from nas.jobs.evidence import CELLS, occlusion_map
from nas.jobs.predict import predict
from nas.jobs.reference import (
    Spread,
    load_reference,
    make_reference,
    model_features,
    operating_points,
    save_reference,
)
from search_spaces.errors import InputError

SIZE = 32
CLASSES = ("normal", "pneumonia", "covid")


class Corner(nn.Module):
    """Reads the brightness of the upper left quarter only."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 4)
        self.last = nn.Linear(4, 3)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.eye(4))
            self.hidden.bias.zero_()
            self.last.weight.copy_(torch.tensor([[-9.0, 0, 0, 0], [9.0, 0, 0, 0], [0.0, 0, 0, 0]]))
            self.last.bias.copy_(torch.tensor([3.0, -3.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.hidden(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)))


@pytest.fixture(scope="module")
def dataset():
    return phantom(n=240, image_size=SIZE, seed=3)


@pytest.fixture(scope="module")
def parts():
    order = np.arange(240)
    return Parts(train=order[:120], validation=order[120:180], audit=order[180:210], test=order[210:])


@pytest.fixture
def model():
    return LoadedModel(
        model=Corner().eval(),
        classes=CLASSES,
        preprocessing=Preprocessing(image_size=SIZE),
        name="corner",
        training_hashes=frozenset(),
    )


def write(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_probabilities_are_the_models_and_unreadable_files_are_named(tmp_path, dataset, model):
    files = [write(tmp_path / f"{i}.png", dataset.images[i, 0]) for i in range(3)]
    (tmp_path / "9-notes.txt").write_text("no image")
    found = predict(model, [tmp_path], csv_file=tmp_path / "out" / "p.csv", device="cpu")
    with torch.inference_mode():
        expected = model.model(torch.from_numpy(dataset.images[:3]).float() / 255).softmax(1).numpy()
    for row, one in enumerate(found.predictions):
        assert one.image == str(files[row])
        assert list(one.probabilities) == list(CLASSES)
        assert np.allclose(list(one.probabilities.values()), expected[row], atol=1e-5)
        assert one.predicted == CLASSES[expected[row].argmax()]
    assert list(found.failed) == [str(tmp_path / "9-notes.txt")]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "p.csv").read_text())))
    assert len(rows) == 4
    assert rows[-1]["error"]
    assert json.loads(found.to_json())["checked"] is False
    assert any("no reference is stored" in note for note in found.notes)


def test_new_images_are_cut_to_the_lungs_as_training_was_and_misses_are_said(tmp_path, model):
    how = Preprocessing.parse("lungs", SIZE)
    chest = write(tmp_path / "chest.png", phantom(n=1, image_size=96, seed=77).images[0, 0])
    odd = write(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8))
    first, second = predict(replace(model, preprocessing=how), [chest, odd], device="cpu").predictions
    assert (first.notices, second.notices) == ((), ("no lungs found to crop to: the image is used whole",))
    with torch.inference_mode():
        expected = model.model(torch.from_numpy(np.stack([prepare(chest, how)])).float() / 255).softmax(1).numpy()[0]
    assert np.allclose(list(first.probabilities.values()), expected, atol=1e-5)
    whole = predict(model, [chest, odd], device="cpu").predictions
    assert whole[0].probabilities != first.probabilities
    assert whole[1].probabilities == second.probabilities


def test_an_answer_that_is_no_number_is_no_class(tmp_path, dataset, model):
    files = [write(tmp_path / f"{i}.png", dataset.images[i, 0]) for i in range(3)]
    bright = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3))
    with torch.no_grad():
        bright[1].weight.fill_(1e38)  # beyond what a float holds, wherever anything is bright
        bright[1].bias.zero_()
    black = write(tmp_path / "black.png", np.zeros((SIZE, SIZE), np.uint8))
    found = predict(replace(model, model=bright), [*files, black])
    assert [one.image for one in found.predictions] == [str(black)]
    assert found.failed == dict.fromkeys(map(str, files), "the model's answer is not finite")
    json.loads(found.to_json(), parse_constant=pytest.fail)
    with pytest.raises(InputError, match=r"none of 3 images could be read and answered.*not finite"):
        predict(replace(model, model=bright), files)


def test_folders_inside_folders_are_said(tmp_path, dataset, model):
    (tmp_path / "study" / "masks").mkdir(parents=True)
    write(tmp_path / "study" / "0.png", dataset.images[0, 0])
    assert f"for example {tmp_path / 'study' / 'masks'}; name them" in predict(model, [tmp_path / "study"]).notes[-1]
    with pytest.raises(InputError, match=r"no image to predict.*1 folders inside those were not looked into.*study"):
        predict(model, [tmp_path])


def test_bad_calls_are_refused(tmp_path, model):
    with pytest.raises(InputError, match="no image to predict"):
        predict(model, [])
    with pytest.raises(InputError, match="none of 1 images"):
        predict(model, [tmp_path / "gone.png"])
    with pytest.raises(InputError, match="no model"):
        predict("nowhere", ["x.png"])


def test_a_formula_in_a_file_name_is_text_in_the_csv(tmp_path, dataset, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "=1+1.png", dataset.images[0, 0])
    found = predict(model, ["=1+1.png"])
    assert found.to_csv().splitlines()[1].startswith("'=1+1.png")


def test_the_reference_round_trips_and_gives_thresholds(tmp_path, dataset, parts, model):
    made = make_reference(model.model, dataset, parts)
    save_reference(made, tmp_path)
    again = load_reference(tmp_path)
    assert again.record == made.record
    assert np.allclose(again.features.components, made.features.components, atol=1e-6)
    assert set(made.record.operating_points) == set(CLASSES)
    assert load_reference(tmp_path / "elsewhere") is None
    (tmp_path / "reference.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="damaged"):
        load_reference(tmp_path)


def test_own_images_pass_and_foreign_ones_are_noticed(dataset, parts, model):
    reference = make_reference(model.model, dataset, parts)

    def noticed(images):
        features = model_features(model.model, images)
        return [bool(reference.notices(image, row)) for image, row in zip(images, features, strict=True)]

    assert np.mean(noticed(dataset.images[parts.test])) <= 0.2
    inverted = 255 - dataset.images[parts.test]
    assert np.mean(noticed(inverted)) >= 0.9
    blank = np.zeros((1, 1, SIZE, SIZE), dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (1, 1, SIZE, SIZE), dtype=np.uint8)
    assert noticed(blank) == noticed(noise) == [True]


def test_youdens_threshold_by_hand():
    scores = np.array([[0.9], [0.8], [0.7], [0.4], [0.2]]) @ np.array([[1.0, 0.0]])
    points = operating_points(scores, np.array([0, 0, 1, 0, 1]), ("a", "b"))
    assert points["a"].threshold == pytest.approx(0.75)  # sensitivity 2/3, specificity 1
    assert (points["a"].sensitivity, points["a"].specificity) == (pytest.approx(2 / 3), 1.0)
    assert operating_points(scores, np.zeros(5, dtype=int), ("a", "b")) == {}


def test_distances_are_mahalanobis_where_everything_is_kept():
    rng = np.random.default_rng(0)
    scales = np.array([1.0, 3.0])
    known = rng.normal(size=(4000, 2)) * scales
    far = Spread.of(known).distances(np.array([[3.0, 0.0], [0.0, 9.0]]))
    assert far == pytest.approx([3, 3], rel=0.1)


def test_features_are_what_enters_the_last_linear_layer():
    images = np.random.default_rng(0).integers(0, 255, (3, 1, SIZE, SIZE), dtype=np.uint8)
    with torch.inference_mode():
        pooled = nn.functional.adaptive_avg_pool2d(torch.from_numpy(images).float() / 255, 2).flatten(1)
    assert np.allclose(model_features(Corner().eval(), images), pooled.numpy(), atol=1e-6)
    assert model_features(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), images) is None


def test_occlusion_finds_the_quarter_that_the_model_reads():
    image = np.full((1, SIZE, SIZE), 20, dtype=np.uint8)
    image[0, 4:12, 4:12] = 250
    drops = np.abs(occlusion_map(Corner().eval(), image, 0))
    half = CELLS // 2
    assert drops[:half, :half].max() > 0.05
    assert drops[half + 1 :, :].max() < 1e-6
    assert drops[:, half + 1 :].max() < 1e-6


def test_evidence_is_a_picture_beside_each_answer(tmp_path, dataset, model):
    file = write(tmp_path / "a b.png", dataset.images[0, 0])
    found = predict(model, [file], evidence=tmp_path / "evidence")
    path = tmp_path / "evidence" / "0000-a-b.png"
    assert found.predictions[0].evidence == str(path)
    with Image.open(path) as picture:
        assert picture.size == (750, 456)
