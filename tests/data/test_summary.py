"""First contact: counts that add up, confounding measured and said, controls that know nothing of disease."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import lung, save
from PIL import Image

import nas.data as data
from nas.data.confounding import association, confounding
from nas.data.controls import border_only, outline_only
from nas.data.features import NAMES, boosted_trees, trivial_features
from nas.statistics.ranking import auc
from search_spaces.errors import InputError


def make(n: int = 200, *, leak: float = 0.0, size: int = 24, seed: int = 0) -> data.Dataset:
    """Noise images of two classes; ``leak`` makes class 1 brighter at the border, its lungs larger and from another source."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, (n, 1, size, size), dtype=np.uint8)
    labels = np.arange(n) % 2
    leaky = (labels == 1) & (rng.random(n) < leak)
    images[leaky, :, :2] = 250
    masks = np.zeros((n, size, size), bool)
    masks[:, 6:-6, 6:-6] = True
    masks[leaky, 4:-4, 4:-4] = True
    return data.Dataset(
        images=images,
        labels=labels,
        classes=("normal", "covid"),
        packed_masks=data.pack_masks(masks),
        has_mask=np.ones(n, bool),
        group=np.array([f"g{i // 2}" if i % 4 > 1 else f"h{i}" for i in range(n)]),
        patient=np.full(n, ""),
        source=np.where(leaky, "a", "b"),
        view=np.where(leaky, "AP", "PA"),
        file=np.array([f"{i}.png" for i in range(n)]),
        split=np.full(n, ""),
        native_size=np.full((n, 2), (400, 500)),
        spec="table:some set.csv",
    )


def test_the_seven_features_are_what_they_say():
    found = make(4)
    images = np.zeros((4, 1, 24, 24), np.uint8)
    images[1] = 255
    images[2, 0, :12] = 255
    values = trivial_features(replace(found, images=images))
    assert values.shape == (4, len(NAMES)) == (4, 7)
    assert values[:, 0].tolist() == [0, 1, 0.5, 0]
    assert values[:, 1].tolist() == [0, 0, 0.5, 0]
    assert values[:3, 2].round(2).tolist() == [1, 0, 0.5]
    assert values[:3, 3].round(2).tolist() == [0, 1, 0.5]
    assert values[0, 4] == 0 < values[2, 4]
    assert np.allclose(np.exp(values[0, 5:]), [0.8, (400 * 500) ** 0.5])


def test_a_summary_adds_up_and_names_the_confounding():
    found = make(leak=0.9)
    parts = data.make_parts(found)
    summary = data.summarise(found, parts)
    assert summary.classes == {"normal": 100, "covid": 100}
    assert sum(sum(cell.values()) for cell in summary.sources.values()) == 200
    assert sum(sum(cell.values()) for cell in summary.parts.values()) == 200
    assert summary.with_mask == 200
    assert summary.masks_per_class == summary.classes
    assert summary.native_sizes == {"least": 500, "median": 500, "greatest": 500, "aspect": 0.8}
    assert summary.trivial_features is not None
    assert summary.trivial_features.value is not None
    assert summary.trivial_features.value > 0.85
    text = " | ".join(summary.warnings)
    for words in (
        "seven trivial features",
        "bright border tells",
        "class and source go together",
        "class and view go together",
    ):
        assert words in text
    assert summary.next_command.startswith("nas search --data 'table:some set.csv' --budget")
    assert data.summarise(found).next_command == ""  # not split


def test_a_single_feature_is_named_with_n_and_an_interval_that_allows_for_the_choice():
    (told,) = [text for text in data.summarise(make(leak=0.9)).warnings if text.startswith("by itself, ")]
    low, high = map(float, re.search(r"bright border tells covid from the rest \(AUC 0.9\d \[(.*?), (.*?)\]\)", told).groups())
    assert 0.8 < low < 0.95 < high < 1
    assert told.endswith("n = 200 images, 150 groups; 95 % intervals for all 7 comparisons at once")


def test_the_best_of_many_features_of_few_images_says_nothing():
    few = [make(6, seed=seed) for seed in range(20)]
    areas = [[auc(values, found.labels == 1) for values in trivial_features(found).T] for found in few]
    assert sum(max(max(area, 1 - area) for area in each) >= 0.75 for each in areas) > 10  # by chance
    assert not any("by itself" in warning for found in few for warning in data.summarise(found).warnings)


def test_honest_data_are_not_called_confounded():
    summary = data.summarise(make())
    assert not any("confounded" in warning or "go together" in warning for warning in summary.warnings)
    interval = summary.trivial_features.interval
    assert interval.low < 0.5 < interval.high


def test_tiny_classes_missing_masks_and_odd_ones_are_said():
    found = make(60)
    has_mask = found.has_mask.copy()
    has_mask[:5] = False
    packed = found.packed_masks.copy()
    packed[:5] = 0
    packed[5] = 255
    text = " | ".join(data.summarise(replace(found, has_mask=has_mask, packed_masks=packed)).warnings)
    assert "class 'normal' has 30 independent groups" in text
    assert "5 of 60 images have no lung mask" in text
    assert "1 masks cover under 5 % or over 70 %" in text


def test_images_that_look_inverted_are_counted_not_changed():
    found = make(60)
    images = found.images.copy()
    images[:7] = np.where(found.masks()[:7, None], 200, 50)
    text = " | ".join(data.summarise(replace(found, images=images)).warnings)
    assert "7 images have lungs brighter than the ring around them" in text


def test_twins_of_two_classes_are_said(table, tmp_path: Path):
    path = table(60)
    (tmp_path / "images/011.png").write_bytes((tmp_path / "images/002.png").read_bytes())
    summary = data.summarise(data.load(str(path), image_size=32))
    assert any("1 duplicate images carry another class than their twin" in warning for warning in summary.warnings)


def test_near_duplicates_across_brought_splits_are_warned_of_with_the_remedy(table, tmp_path: Path):
    path = table(60, split=lambda i: "test" if i % 4 > 1 else "train")
    image = Image.open(tmp_path / "images/000.png")
    image.point(lambda v: min(255, int(v * 1.05))).save(tmp_path / "images/002.png")
    found = data.load(str(path), image_size=32)
    parts = data.make_parts(found)
    (warning,) = [text for text in data.summarise(found, parts).warnings if "cross the splits" in text]
    assert "images/000.png and images/002.png (near-duplicates)" in warning
    assert "dealt afresh: --splits fresh" in warning
    fresh = data.make_parts(found, keep_splits=False)
    assert not any("cross the splits" in text for text in data.summarise(found, fresh).warnings)


def test_association():
    labels = np.arange(100) % 2
    assert association(labels, labels) == pytest.approx(1, abs=0.02)
    assert association(labels, np.arange(100) // 2 % 2) == 0
    assert association(labels, np.zeros(100)) is None


@pytest.mark.parametrize("name", ["features", "border", "outline", "thumbnail"])
def test_controls_see_the_leak_and_nothing_else(name: str):
    for leak, low, high in ((0.95, 0.85, 1.0), (0.0, 0.3, 0.7)):
        found = make(leak=leak)
        parts = data.make_parts(found)
        accuracy, area = data.control(name, found, parts.train, np.concatenate([parts.validation, parts.audit, parts.test]))
        assert (accuracy.name, area.name) == ("balanced_accuracy", "auroc")
        assert low <= accuracy.value <= high
        assert accuracy.interval.low <= accuracy.value <= accuracy.interval.high
        assert accuracy.n == len(found) - len(parts.train) > accuracy.groups
    assert data.control(name, found, parts.train, parts.test) == data.control(name, found, parts.train, parts.test)


def test_controls_that_cannot_be_estimated_say_so():
    found = replace(make(), has_mask=np.zeros(200, bool))
    parts = data.make_parts(found)
    assert "too few images with masks" in data.control("outline", found, parts.train, parts.test)[0].note
    with pytest.raises(InputError, match="unknown control 'x'; known: features"):
        data.control("x", found, parts.train, parts.test)


def test_border_and_outline_images():
    images = np.full((2, 1, 20, 20), 9, np.uint8)
    kept = border_only(images, share=0.1)
    assert int((kept[0] > 0).sum()) == 400 - 256
    assert (images == 9).all()
    assert outline_only(np.ones((1, 4, 4), bool)).tolist() == np.full((1, 1, 4, 4), 255).tolist()


def test_models_live_with_a_class_that_training_lacks():
    x = np.random.default_rng(0).normal(size=(40, 7))
    assert boosted_trees(x, np.zeros(40, np.int64), x[:3], 3).tolist() == [[1, 0, 0]] * 3
    found = boosted_trees(x, np.arange(40) % 2 * 2, x[:3], 3)
    assert found[:, 1].tolist() == [0, 0, 0]


def test_confounding_of_too_few_groups_is_no_number():
    found = make(4)
    assert confounding(replace(found, group=np.array(["a", "b", "a", "b"])))[0].value is None


def test_large_sets_are_sampled_by_group(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas.data.features._MAX_IMAGES", 60)
    metric, _ = confounding(make())
    assert 40 <= metric.n <= 64


def test_contact_sheet_shows_every_cell(tmp_path: Path):
    path = data.contact_sheet(make(40, leak=0.5), tmp_path / "out" / "sheet.png")
    with Image.open(path) as sheet:
        assert sheet.width > 800
        assert sheet.height > 3 * 112


def test_contact_sheet_survives_many_sources_and_odd_names(tmp_path: Path):
    found = make(80)
    found = replace(found, source=np.array([f"肺\x1b[2J{i}" for i in range(80)]))
    with Image.open(data.contact_sheet(found, tmp_path / "sheet.png", per_row=2)) as sheet:
        assert sheet.height < 24 * 140 + 40


def test_lateral_views_are_warned_of():
    found = make(20)
    mixed = replace(found, view=np.array(["PA", "LL", "AP Supine", "Lateral", ""] * 4))
    assert any("8 of 20 images are lateral views" in text for text in data.summarise(mixed).warnings)
    assert not any("lateral" in text for text in data.summarise(found).warnings)


def test_contact_sheet_writes_accents_as_plain_letters(tmp_path: Path):
    found = make(40)
    for name, classes in (("plain", ("Ubrige", "?")), ("accents", ("Übrige", "肺"))):
        data.contact_sheet(replace(found, classes=classes), tmp_path / name)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "accents").read_bytes()  # the built-in font has no such letters


def test_masks_of_another_size_are_counted(table, tmp_path: Path):
    save(tmp_path / "masks/small.png", lung((20, 24)))
    save(tmp_path / "masks/empty.png", np.zeros((40, 48), np.uint8))
    masks = ["masks/small.png", "masks/empty.png", "masks/missing.png"]
    found = data.load(str(table(24, mask=lambda i: masks[i] if i < 3 else "")), image_size=32)
    assert found.has_mask.tolist() == [True] + [False] * 23
    assert 0.15 < found.masks()[0].mean() < 0.35
    text = " | ".join(found.notes)
    assert "1 masks had another size than their image and were resized" in text
    assert "1 masks are empty" in text
    assert "1 masks could not be read" in text
