"""Folds keep groups whole and classes balanced; leaks between what trains and what is scored are refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.data import LeakageError, load, make_parts
from nas.data.dataset import Dataset, Parts
from nas.jobs.benchmark_folds import check_copies, make_folds, thumbnails, turned_copies
from search_spaces.errors import InputError


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("phantom:n=240", image_size=32)


def test_folds_are_disjoint_stratified_and_leave_test_and_audit_alone(data: Dataset) -> None:
    parts = make_parts(data)
    folds = make_folds(data, parts, folds=3, seeds=2)
    assert [fold.name for fold in folds] == [f"seed{s}-fold{f}" for s in (0, 1) for f in range(3)]
    pool = set(parts.train) | set(parts.validation)
    for fold in folds:
        trained, picked, held = (set(data.group[rows]) for rows in (fold.train, fold.validation, fold.held_out))
        assert not trained & picked
        assert not (trained | picked) & held
        assert set(fold.train) | set(fold.validation) | set(fold.held_out) == pool
        assert len(np.unique(data.labels[fold.validation])) == 3
        shares = np.bincount(data.labels[fold.held_out]) / len(fold.held_out)
        assert shares == pytest.approx([1 / 3] * 3, abs=0.12)
    first = np.sort(np.concatenate([fold.held_out for fold in folds[:3]]))
    assert np.array_equal(first, np.sort(list(pool)))
    assert not np.array_equal(folds[0].held_out, folds[3].held_out)  # the second seed deals afresh


def test_no_fold_trains_without_a_class(data: Dataset) -> None:
    """Of three groups two folds hold out two at a time: one is left, to train or to validate."""
    parts = make_parts(data)
    pool = np.sort(np.concatenate([parts.train, parts.validation]))
    rare = pool[data.labels[pool] == 2]
    group = data.group.astype("<U40")
    group[rare] = np.array(["one", "two", "three"])[np.arange(len(rare)) * 3 // len(rare)]
    few = replace(data, group=group, patient=group)
    with pytest.raises(InputError, match=rf"class '{data.classes[2]}' has 3 independent groups .* 2 folds .* ask for more"):
        make_folds(few, parts, folds=2, seeds=3)
    for fold in make_folds(few, parts, folds=3, seeds=3):
        for rows in (fold.train, fold.validation, fold.held_out):
            assert len(np.unique(few.labels[rows])) == 3


def test_patients_of_several_classes_take_none_out_of_training_or_validation(data: Dataset) -> None:
    pool, nothing, refused = np.arange(60), np.zeros(0, np.int64), []
    for seed in (24, 53, 71):  # twelve patients of unequal numbers of images, some of which show another class than the rest
        rng = np.random.default_rng(seed)
        usual = rng.integers(0, 3, 12)
        group = rng.choice(12, 60, p=rng.dirichlet(np.full(12, 0.5)))
        names = np.char.add("g", group.astype(str))
        labels = np.where(rng.random(60) < 0.2, rng.integers(0, 3, 60), usual[group])
        few = replace(data.subset(pool), labels=labels, group=names, patient=names)
        try:
            folds = make_folds(few, Parts(pool, nothing, nothing, nothing), folds=2, seeds=1, seed=seed)
        except InputError as error:
            refused.append(str(error))
            continue
        assert all(len(np.unique(labels[rows])) == 3 for fold in folds for rows in (fold.train, fold.validation))
    assert ["too few for 2 folds with validation" in text for text in refused] == [True, True]


def test_too_few_groups_are_refused(data: Dataset) -> None:
    with pytest.raises(
        InputError, match=r"independent groups outside the test and audit parts, too few for 50 folds.*--folds.*--cross-fit"
    ):
        make_folds(data, make_parts(data), folds=50, seeds=1)


def test_a_patient_on_both_sides_of_a_fold_is_refused_by_name(data: Dataset) -> None:
    parts = make_parts(data)
    a, b = parts.train[0], next(i for i in parts.train if data.labels[i] != data.labels[parts.train[0]])
    patient = data.patient.copy()
    source = data.source.copy()
    patient[[a, b]], source[[a, b]] = "one and the same", source[a]  # but the groups say that they are two
    leaky = replace(data, patient=patient, source=source)
    with pytest.raises(LeakageError, match="same patient") as caught:
        make_folds(leaky, parts, folds=3, seeds=8)  # in one of eight deals they fall apart
    assert {str(data.file[a]), str(data.file[b])} <= {name for pair in caught.value.pairs for name in pair[:2]}


def mirrored(data: Dataset, parts: Parts, count: int) -> Dataset:
    """As if the data had been augmented before the split: test images replaced by mirrored training images."""
    images = data.images.copy()
    images[parts.test[:count]] = images[parts.train[:count], :, :, ::-1]
    return replace(data, images=images)


def test_augmentation_before_the_split_is_refused(data: Dataset) -> None:
    parts = make_parts(data)
    assert check_copies(data, parts) == ()
    with pytest.raises(LeakageError, match="augmented before they were split") as caught:
        check_copies(mirrored(data, parts, 8), parts)
    assert (str(data.file[parts.train[0]]), str(data.file[parts.test[0]]), "mirrored or turned copy") in caught.value.pairs


def test_one_copy_in_many_is_reported(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.jobs.benchmark_folds.COPY_SHARE", 0.1)
    (note,) = check_copies(mirrored(data, make_parts(data), 1), make_parts(data))
    assert note.startswith("1 test images look like mirrored or turned copies")


def test_copies_are_found_whichever_way_they_are_turned() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (3, 1, 48, 48), dtype=np.uint8)
    second = np.stack([np.rot90(first[1], 3, axes=(1, 2)), first[2, :, ::-1]])
    assert turned_copies(first, second).tolist() == [[1, 0], [2, 1]]
    assert not thumbnails(np.full((1, 1, 48, 48), 7, dtype=np.uint8)).any()
