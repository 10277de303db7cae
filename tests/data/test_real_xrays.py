"""The real radiographs, where they are at hand: counts, groups and the confounding that their README states."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import nas.data as data

TABLE = os.environ.get("PEPX_NAS_CXR", "")
pytestmark = pytest.mark.skipif(not TABLE, reason="PEPX_NAS_CXR names no table of real X-rays")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    return data.load(f"table:{TABLE}", image_size=48, cache=tmp_path_factory.mktemp("real"))


def test_every_image_and_mask_is_read(real: data.Dataset):
    assert len(real) == 1211
    assert dict(zip(real.classes, np.bincount(real.labels).tolist(), strict=True)) == {
        "normal": 459,
        "covid": 246,
        "pneumonia": 506,
    }
    assert int(real.has_mask.sum()) == 1173
    assert real.skipped == {}
    assert len(set(real.group)) == 1021


def test_parts_are_disjoint_and_hold_every_class(real: data.Dataset):
    parts = data.make_parts(real)
    data.check_leaks(real, parts)
    for _, indices in parts.items():
        assert np.bincount(real.labels[indices], minlength=3).min() > 25


def test_the_confounding_with_the_source_is_found(real: data.Dataset):
    summary = data.summarise(real)
    assert summary.trivial_features is not None
    assert summary.trivial_features.value is not None
    assert summary.trivial_features.value > 0.6
    assert any("class and source go together" in warning for warning in summary.warnings)


def test_pneumonia_within_one_hospital_is_a_clean_task(real: data.Dataset):
    chosen = data.load(f"table:{TABLE}", classes="normal,pneumonia", image_size=48, cache=None)
    kermany = chosen.subset(np.nonzero(chosen.source == "kermany")[0])
    assert data.summarise(kermany).source_association is None


def test_links_and_roots(real: data.Dataset):
    assert len(data.load(TABLE, image_size=16, cache=None, root=Path(TABLE).parent)) == 1211
