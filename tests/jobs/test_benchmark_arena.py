"""Whose split a benchmark keeps: what a search has looked at is never sealed, and other images are not taken for its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.data import load, make_parts, parts_to_json
from nas.data.dataset import Dataset, Parts
from nas.jobs.benchmark_arena import parts_by_file


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("phantom:n=90", image_size=32)


@pytest.fixture(scope="module")
def parts(data: Dataset) -> Parts:
    return make_parts(data, seed=3)


def same(found: Parts | None, expected: Parts) -> bool:
    return found is not None and all(
        np.array_equal(a, b) for (_, a), (_, b) in zip(found.items(), expected.items(), strict=True)
    )


def test_another_image_size_is_the_same_files(data: Dataset, parts: Parts) -> None:
    larger = load("phantom:n=90", image_size=48)
    assert same(parts_by_file(parts_to_json(data, parts), larger), parts)
    assert parts_by_file(parts_to_json(data, parts), larger, pixels=True) is None
    assert parts_by_file({"other": 1}, data) is None


def test_files_that_are_called_alike_are_told_apart_by_their_pixels(data: Dataset, parts: Parts) -> None:
    other = replace(data, images=255 - data.images)  # another hospital numbers its images, too
    assert parts_by_file(parts_to_json(data, parts), other, pixels=True) is None
    assert same(parts_by_file(parts_to_json(data, parts), data, pixels=True), parts)
    alike = replace(data, file=np.array([f"{i % 45}.png" for i in range(90)]))  # as joined sets may be
    assert same(parts_by_file(parts_to_json(alike, parts), alike), parts)
    assert parts_by_file(parts_to_json(data, parts), alike) is None


def test_what_is_left_of_a_run_keeps_its_part(data: Dataset, parts: Parts) -> None:
    two = data.subset(np.flatnonzero(data.labels != 2))  # benchmarked without a class
    found = parts_by_file(parts_to_json(data, parts), two, pixels=True)
    assert found is not None
    for (_, own), (_, whole) in zip(found.items(), parts.items(), strict=True):
        assert set(two.file[own]) == set(data.file[whole]) & set(two.file)
    half = parts_to_json(data.subset(np.arange(45)), Parts(*np.split(np.arange(45), [20, 30, 35])))
    assert parts_by_file(half, data.subset(np.arange(20, 90))) is None  # neither holds the other
    assert parts_by_file(parts_to_json(data, parts), data.subset(np.sort(parts.train))) is None  # no sealed test is left
