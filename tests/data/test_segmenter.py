"""The shipped segmenter: right on phantoms it has never seen, gated on nonsense, small, torch on first use only."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nas.data.phantom import phantom
from nas.data.segmenter import REASONS, segment
from nas.data.segmenter.generator import varied_chests
from nas.data.segmenter.inference import WEIGHTS
from search_spaces.errors import InputError


def dice(first, second):
    return 2 * (first & second).sum((1, 2)) / np.maximum(first.sum((1, 2)) + second.sum((1, 2)), 1)


def test_phantom_lungs_are_found():
    data = phantom(n=36, image_size=128, seed=77)
    masks, ok, reasons = segment(data.images)
    assert masks.shape == data.images.shape
    assert ok.mean() > 0.85
    assert np.median(dice(masks[:, 0], data.masks())[ok]) > 0.9
    assert [reason == "" for reason in reasons] == ok.tolist()


def test_any_size_is_accepted_and_results_do_not_depend_on_the_batch():
    data = phantom(n=4, image_size=97, seed=5)
    together, alone = segment(data.images)[0], segment(data.images[:1])[0]
    assert together.shape == (4, 1, 97, 97)
    assert (together[:1] != alone).mean() < 1e-3
    assert segment(data.images[:0])[0].shape == (0, 1, 97, 97)


def test_nonsense_gets_no_mask():
    rng = np.random.default_rng(0)
    images = np.stack(
        [
            np.zeros((1, 96, 96), np.uint8),
            np.full((1, 96, 96), 255, np.uint8),
            rng.integers(0, 256, (1, 96, 96), np.uint8),
            np.tile(np.linspace(0, 255, 96).astype(np.uint8), (1, 96, 1)),
        ]
    )
    _, ok, reasons = segment(images)
    assert not ok.any()
    assert set(reasons) <= set(REASONS)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="uint8"):
        segment(np.zeros((2, 64, 64), np.uint8))
    with pytest.raises(InputError, match="float"):
        segment(np.zeros((2, 1, 64, 64)))


def test_weights_are_small():
    assert WEIGHTS.stat().st_size < 2**20


def test_importing_the_segmenter_imports_no_torch():
    code = "import sys, nas.data.segmenter, nas.data.phantom; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_pictures_are_deterministic_and_have_two_lungs():
    images, masks = varied_chests(20, 64, seed=1)
    again, _ = varied_chests(5, 64, seed=1)
    np.testing.assert_array_equal(images[:5], again)
    assert (masks.mean((1, 2)) > 0.02).mean() > 0.9


@pytest.mark.skipif("PEPX_NAS_CXR" not in os.environ, reason="PEPX_NAS_CXR names no table of real X-rays")
def test_real_lungs_are_found():
    import csv

    from PIL import Image

    table = Path(os.environ["PEPX_NAS_CXR"])
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["mask_origin"] == "human_v7"][::16]
    pictures = [Image.open(table.parent / row["file"]).convert("L").resize((192, 192)) for row in rows]
    truth = np.stack([np.asarray(Image.open(table.parent / row["mask"]).convert("L").resize((192, 192))) > 0 for row in rows])
    masks, ok, _ = segment(np.stack([np.asarray(picture) for picture in pictures])[:, None])
    assert ok.mean() >= 0.85
    assert dice(masks[:, 0], truth)[ok].mean() >= 0.80
