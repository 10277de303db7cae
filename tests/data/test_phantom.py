"""The phantom: deterministic, prefix-stable, balanced, with exact truth and cues of the stated strength."""

import numpy as np
import pytest

from nas.data.phantom import KINDS, Shortcut, parse_shortcuts, phantom
from nas.data.readers.phantom import generate
from search_spaces.errors import InputError


def test_an_image_depends_on_seed_and_number_only():
    short, long = phantom(n=20, image_size=32, seed=3), phantom(n=50, image_size=32, seed=3)
    np.testing.assert_array_equal(short.images, long.images[:20])
    np.testing.assert_array_equal(short.labels, long.labels[:20])
    np.testing.assert_array_equal(short.group, long.group[:20])
    np.testing.assert_array_equal(short.packed_masks, long.packed_masks[:20])
    assert not np.array_equal(short.images, phantom(n=20, image_size=32, seed=4).images)
    assert short.fingerprint == phantom(n=20, image_size=32, seed=3).fingerprint


def test_classes_are_balanced_and_patients_have_one_to_three_images():
    data = phantom(n=180, image_size=32)
    assert np.bincount(data.labels).tolist() == [60, 60, 60]
    groups, counts = np.unique(data.group, return_counts=True)
    assert len(groups) == 120
    assert set(counts) == {1, 2, 3}
    for group in groups:
        assert len(set(data.labels[data.group == group])) == 1
        assert len(set(data.source[data.group == group])) == 1


@pytest.mark.parametrize("size", [32, 64, 97])
def test_masks_and_lesions_are_where_they_should_be(size):
    data = phantom(n=36, image_size=size, seed=1)
    lungs, lesions = data.masks(), data.truth_maps("lesion")
    share = lungs.mean((1, 2))
    assert 0.12 < share.min() <= share.max() < 0.6
    assert not (lesions & ~lungs).mean() > 0.005  # soft edges: at most a pixel beyond the mask
    assert not lesions[data.labels == 0].any()
    assert (lesions[data.labels > 0].mean((1, 2)) > 0.002).all()
    inside = np.array([image[0][mask].mean() for image, mask in zip(data.images, lungs, strict=True)])
    outside = np.array([image[0][~mask].mean() for image, mask in zip(data.images, lungs, strict=True)])
    assert (inside < outside + 40).all()
    assert inside.mean() < outside.mean()


def test_covid_is_bilateral_and_pneumonia_mostly_is_not():
    data = phantom(n=180, image_size=64, seed=2)
    lesions = data.truth_maps("lesion")
    half = data.image_size // 2
    sides = np.stack([lesions[:, :, :half].sum((1, 2)), lesions[:, :, half:].sum((1, 2))], 1).astype(float)
    balance = sides.min(1) / np.maximum(sides.max(1), 1)
    assert np.median(balance[data.labels == 2]) > 0.4
    assert np.median(balance[data.labels == 1]) < 0.1


def test_severity_is_continuous_and_zero_for_normal():
    data = phantom(n=180, image_size=32)
    severity = data.metadata["severity"]
    assert (severity[data.labels == 0] == 0).all()
    assert len(np.unique(severity[data.labels > 0])) == len(np.unique(data.group[data.labels > 0]))


def test_sources_are_independent_of_the_class_unless_asked():
    free = phantom(n=900, image_size=32)
    table = np.array([[((free.source == s) & (free.labels == c)).sum() for c in range(3)] for s in np.unique(free.source)])
    assert table.min() > 60
    tied = phantom(n=90, image_size=32, source_bias=1.0)
    assert all(len(set(tied.source[tied.labels == c])) == 1 for c in range(3))
    assert len(set(phantom(n=90, image_size=32, sources=5).source)) == 5


def test_native_sizes_do_not_tell_the_class():
    data = phantom(n=600, image_size=32)
    means = [np.log(data.native_size[data.labels == c].mean(1)).mean() for c in range(3)]
    assert max(means) - min(means) < 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_a_cue_has_its_strength_and_changes_nothing_else(kind):
    planted = phantom(n=300, image_size=48, seed=5, shortcut=f"{kind}@0.8")
    without = phantom(n=300, image_size=48, seed=5, shortcut=f"{kind}@0.8", cue="never")
    cue = planted.metadata["cue"].astype(bool)
    assert abs(cue[planted.labels == 2].mean() - 0.9) < 0.09
    assert abs(cue[planted.labels != 2].mean() - 0.1) < 0.07
    np.testing.assert_array_equal(planted.images[~cue], without.images[~cue])
    assert (planted.images[cue] != without.images[cue]).any(axis=(1, 2, 3)).all()
    region = planted.truth_maps("marker")
    assert not region[~cue].any()
    if kind not in ("style", "size"):
        changed = (planted.images != without.images)[:, 0]
        blurred = region.copy()
        for axis in (1, 2):
            blurred |= np.roll(blurred, 1, axis) | np.roll(blurred, -1, axis)
        assert region[cue].any(axis=(1, 2)).mean() > 0.97
        assert not (changed & ~blurred).any()
    if kind == "line":
        assert (region & ~planted.masks()).sum() == 0


def test_strength_zero_tags_half_of_every_class():
    data = phantom(n=600, image_size=32, shortcut="marker@0")
    for label in range(3):
        assert abs(data.metadata["cue"][data.labels == label].mean() - 0.5) < 0.12


def test_several_shortcuts_and_another_target():
    data = phantom(n=300, image_size=48, shortcut="marker@1+frame@1", target="pneumonia")
    assert (data.metadata["cue"] == (data.labels == 1)).all()
    two = phantom(n=60, image_size=32, classes=("normal", "pneumonia"), shortcut="style@1")
    assert (two.metadata["cue"] == (two.labels == 1)).all()


def test_shortcuts_parse_and_print():
    assert parse_shortcuts("marker@0.5,style@0.9:2") == (Shortcut("marker", 0.5), Shortcut("style", 0.9, 2.0))
    assert str(Shortcut.parse("frame@0.9")) == "frame@0.9"
    assert parse_shortcuts(None) == parse_shortcuts("none") == ()


def test_a_spec_repeats_its_data():
    data = generate("n=30,classes=covid+normal,shortcut=marker@0.8,source_bias=0.5,target=normal", 48)
    assert data.classes == ("covid", "normal")
    assert "source_bias=0.5" in data.spec
    assert generate(data.spec.removeprefix("phantom:"), 48).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("n=0", "n=0 is out of range"),
        ("n=many", "n='many' must be a whole number"),
        ("image_size=64", "differs from the image size that is asked for, 32"),
        ("seed=-1", "seed"),
        ("sources=9", "sources"),
        ("source_bias=2", "source_bias must lie in 0..1"),
        ("source_bias=nan", "source_bias must lie in 0..1"),
        ("source_bias=much", "source_bias='much' must be a number"),
        ("classes=covid", "classes"),
        ("classes=covid+flu", "classes"),
        ("shortcut=watermark@0.9", "marker, marker2"),
        ("shortcut=marker@1.5", "0..1"),
        ("shortcut=marker@much", "kind@strength"),
        ("shortcut=marker@0.5+marker@0.6", "twice"),
        ("shortcut=marker@0.5:9", "salience"),
        ("target=flu", "flu"),
        ("cue=sometimes", "cue"),
        ("colour=red", "colour"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(InputError, match=r".+") as error:
        generate(options, 32)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [16, 600])
def test_sizes_have_bounds(size):
    with pytest.raises(InputError, match=r"32\.\.512"):
        generate(f"image_size={size}", size)


def test_an_empty_phantom_is_refused():
    with pytest.raises(InputError, match="n must be at least 1, but got 0"):
        phantom(n=0)
