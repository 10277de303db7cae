"""Parts: disjoint by group, stratified, kept where brought; leaks are named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import nas.data as data
from nas.data.parts import PARTS, default_fractions
from search_spaces.errors import InputError


def make(n: int = 240, *, split=None, groups: int | None = None, seed: int = 0) -> data.Dataset:
    """A data set without meaning: three classes, two sources, ``groups`` groups."""
    rng = np.random.default_rng(seed)
    index = np.arange(n)
    group = np.array([f"g{i % (groups or n)}" for i in index])
    return data.Dataset(
        images=rng.integers(0, 255, (n, 1, 8, 8), dtype=np.uint8),
        labels=index % 3,
        classes=("a", "b", "c"),
        packed_masks=np.zeros((n, 8), np.uint8),
        has_mask=np.zeros(n, bool),
        group=group,
        patient=group,
        source=np.array(["s", "t"])[(index // 3) % 2],
        view=np.full(n, ""),
        file=np.array([f"{i}.png" for i in index]),
        split=np.full(n, "") if split is None else np.array(split),
        native_size=np.full((n, 2), 8),
    )


def test_parts_cover_everything_once_in_the_stated_shares():
    found = make()
    parts = data.make_parts(found)
    together = np.concatenate([indices for _, indices in parts.items()])
    assert sorted(together.tolist()) == list(range(240))
    for name, indices in parts.items():
        assert abs(len(indices) / 240 - default_fractions(240)[name]) < 0.03
        assert np.bincount(found.labels[indices]).min() >= len(indices) // 3 - 1
    data.check_leaks(found, parts)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together(seed: int):
    found = make(groups=60, seed=seed)
    parts = data.make_parts(found, seed=seed)
    sets = [set(found.group[indices]) for _, indices in parts.items()]
    assert sum(map(len, sets)) == 60
    data.check_leaks(found, parts)


def test_same_seed_same_parts_other_seed_other_parts():
    first, again, other = (data.make_parts(make(), seed=seed) for seed in (0, 0, 1))
    assert first.test.tolist() == again.test.tolist()
    assert first.test.tolist() != other.test.tolist()


def test_brought_splits_are_kept_and_the_missing_parts_cut_from_train():
    split = ["test" if i % 4 == 0 else "train" for i in range(240)]
    found = make(split=split)
    parts = data.make_parts(found)
    assert parts.test.tolist() == list(range(0, 240, 4))
    assert len(parts.validation) > 20
    assert len(parts.audit) > 20
    assert not set(parts.test) & set(parts.train)
    assert len(data.make_parts(found, keep_splits=False).test) < 50


def test_images_without_split_follow_their_group():
    split = ["test", *([""] * 239)]
    found = make(groups=60, split=split)
    parts = data.make_parts(found)
    assert {0, 60, 120, 180} <= set(parts.test.tolist())


@pytest.mark.parametrize("brought", [("train", "validation", "test"), ("train", "test"), PARTS])
def test_a_joined_set_without_splits_reaches_every_part(brought: tuple[str, ...]):
    split = [brought[i % len(brought)] if i < 120 else "" for i in range(240)]
    found = replace(make(split=split), metadata={"data_set": np.repeat(["one", "two"], 120)})
    dealt = dict(data.make_parts(found).items())
    for name, rows in dealt.items():
        assert np.bincount(found.labels[rows[rows >= 120]], minlength=3).min() > 0  # each class of the second set
        if name in brought[1:] or brought == PARTS:
            assert rows[rows < 120].tolist() == [i for i in range(120) if split[i] == name]
    assert not (set(range(120)) - {i for i in range(120) if split[i] == "train"}) & set(dealt["train"].tolist())


def test_what_joined_sets_share_goes_where_each_of_them_lacks_a_part():
    split = [("train", "test")[i % 4 == 0] if i < 120 else "" for i in range(240)]
    found = make(groups=120, split=split)  # image i of one set and i + 120 of the other are one person
    parts = data.make_parts(replace(found, metadata={"data_set": np.repeat(["one", "two"], 120)}))
    data.check_leaks(found, parts)
    assert sorted(set(parts.test.tolist()) & set(range(120))) == list(range(0, 120, 4))


@pytest.mark.parametrize(
    ("brought", "empty"), [(["test"], "train, validation, audit"), (["validation", "test"], "train, audit")]
)
def test_splits_that_leave_a_part_empty_are_refused(brought: list[str], empty: str):
    found = make(split=[brought[i % len(brought)] for i in range(240)])
    with pytest.raises(InputError, match=f"no image is left for {empty}; correct the splits .* dealt afresh: --splits fresh"):
        data.make_parts(found)
    assert all(len(indices) for _, indices in data.make_parts(found, keep_splits=False).items())


def test_leaks_name_the_pair():
    found = make(groups=60)
    parts = data.Parts(*(np.arange(start, 240, 4) for start in range(4)))
    moved = data.Parts(parts.train, parts.validation, parts.audit, np.append(parts.test, 4))
    with pytest.raises(data.LeakageError, match=r"0.png|4.png") as error:
        data.check_leaks(found, moved)
    assert ("4.png", "4.png", "same image") in error.value.pairs
    wrong = data.Parts(np.arange(60), np.arange(60, 120), np.arange(120, 180), np.arange(180, 240))
    with pytest.raises(data.LeakageError, match=r"0.png and 60.png .same patient") as error:
        data.check_leaks(found, wrong)
    assert error.value.exit_code == 2


def test_a_patient_in_two_parts_is_a_leak_whatever_the_source():
    found = make()
    patient = np.where(np.arange(240) % 60 == 7, "p7", "")
    parts = data.Parts(np.arange(60), np.arange(60, 120), np.arange(120, 180), np.arange(180, 240))
    with pytest.raises(data.LeakageError, match=r"67.png .same patient") as error:
        data.check_leaks(replace(found, patient=patient, source=found.group), parts)
    assert [pair[2] for pair in error.value.pairs] == ["same patient"] * 3


def test_same_bytes_across_parts_are_a_leak():
    found = make()
    images = found.images.copy()
    images[200] = images[3]
    found = replace(found, images=images)
    parts = data.Parts(np.arange(60), np.arange(60, 120), np.arange(120, 180), np.arange(180, 240))
    with pytest.raises(data.LeakageError, match=r"3.png and 200.png .same pixels"):
        data.check_leaks(found, parts)


def test_parts_survive_json_and_another_order():
    found = make()
    parts = data.make_parts(found)
    text = json.dumps(data.parts_to_json(found, parts))
    turned = found.subset(np.arange(240)[::-1])
    again = data.parts_from_json(turned, json.loads(text))
    for (_, before), (_, after) in zip(parts.items(), again.items(), strict=True):
        assert found.file[before].tolist() == turned.file[after].tolist()
    with pytest.raises(InputError, match="do not belong to this data"):
        data.parts_from_json(make(seed=7), json.loads(text))


def test_a_file_that_is_listed_twice_keeps_both_places():
    found = make()
    twice = found.subset(np.append(np.arange(240), 5))
    parts = data.make_parts(twice)
    again = data.parts_from_json(twice, data.parts_to_json(twice, parts))
    assert sorted(np.concatenate([i for _, i in again.items()]).tolist()) == list(range(241))


def test_a_class_with_too_few_groups_is_refused():
    found = make(9)
    with pytest.raises(InputError, match=r"class 'a' has 3 independent groups to deal to 4 parts"):
        data.make_parts(found)


@pytest.mark.parametrize("fractions", [{"train": 1.0}, dict.fromkeys(PARTS, 0.3), {**default_fractions(9), "extra": 0.1}])
def test_fractions_are_checked(fractions):
    with pytest.raises(InputError, match="fractions"):
        data.make_parts(make(), fractions=fractions)
