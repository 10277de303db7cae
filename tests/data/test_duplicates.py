"""Copies are found however they were re-saved; different people are not joined."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_samples import picture
from PIL import Image, ImageEnhance

import nas.data as data
from nas.data.duplicates import Clusters, identical, look, near_duplicates


def _jpeg(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=40)
    return Image.open(content)


def _marked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.paste(255, (4, 4, 16, 12))
    return copy


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": _jpeg,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "smaller": lambda image: image.resize((48, 48), Image.Resampling.BILINEAR).resize((96, 96), Image.Resampling.BILINEAR),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "marked": _marked,
}


def stack(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    arrays = [np.asarray(image.convert("L").resize((96, 96))) for image in images]
    return np.stack(arrays)[:, None], np.stack([look(array) for array in arrays])


@pytest.mark.parametrize("edit", EDITS)
def test_edited_copies_are_found(edit: str):
    base = [Image.fromarray(picture(i, (96, 96))) for i in range(30)]
    images, looks = stack([*base, EDITS[edit](base[7])])
    assert near_duplicates(images, looks) == [(7, 30)]


def test_different_pictures_and_flat_ones_are_not():
    images, looks = stack(
        [Image.fromarray(picture(i, (96, 96))) for i in range(60)] + [Image.new("L", (96, 96), v) for v in (0, 90)]
    )
    assert near_duplicates(images, looks) == []


def test_blocks_meet_one_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas.data.duplicates._BLOCK", 8)
    base = [Image.fromarray(picture(i, (96, 96))) for i in range(30)]
    images, looks = stack([*base, base[0], base[29]])
    assert near_duplicates(images, looks) == [(0, 30), (29, 31)]


def test_clusters_are_named_by_their_smallest_member():
    clusters = Clusters(6)
    clusters.join_equal(["a", None, "b", "a", None, "b"])
    clusters.join(5, 3)
    assert clusters.labels().tolist() == [0, 1, 0, 0, 4, 0]
    assert identical(["x", "y", "x", "x"]) == [(0, 2), (0, 3)]


def test_load_groups_copies_and_reports_them(table, tmp_path: Path):
    path = table(24)
    image = Image.open(tmp_path / "images/002.png")
    ImageEnhance.Brightness(image).enhance(1.05).save(tmp_path / "images/010.png")
    found = data.load(str(path), image_size=48)
    assert found.group[2] == found.group[10]
    assert found.metadata["duplicate_cluster"][10] == "d2"
    assert any("2 images are duplicates or near-duplicates" in note for note in found.notes)
    assert len(set(found.group)) == 23
