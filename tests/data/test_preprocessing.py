"""The crop to the lungs: what it keeps and loses, masks and new images alike, and pictures without lungs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_samples import save, write_csv
from PIL import Image

from nas import data
from nas.data import Preprocessing, prepare
from nas.data.phantom import phantom
from search_spaces.errors import InputError

PLACE = (slice(48, 176), slice(8, 136))  # rows and columns of the chest in its canvas
NOTE = "the crop to the lungs found none in 1 of 9 images (a 1, b 0): they are used whole"


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)


@pytest.fixture(scope="module")
def chests() -> tuple[np.ndarray, np.ndarray]:
    """Eight chests of 128 pixels, off-centre on larger black or grey canvases with a white tag in the corner; their lung masks."""
    found = phantom(n=8, image_size=128, seed=77)
    images, masks = np.zeros((8, 180, 190), np.uint8), np.zeros((8, 180, 190), bool)
    images[4:] = 60
    images[:, *PLACE], masks[:, *PLACE] = found.images[:, 0], found.masks()
    images[:, 4:24, 155:185] = 255
    return images, masks


@pytest.fixture
def chest_table(chests: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> Callable[..., Path]:
    """The chests, and noise as a ninth image, as files in a table; every second chest with its mask."""

    def make() -> Path:
        rows = []
        for i, (image, mask) in enumerate(zip(*chests, strict=True)):
            save(tmp_path / f"{i}.png", image)
            save(tmp_path / f"mask{i}.png", mask.astype(np.uint8) * 255)
            rows.append({"file": f"{i}.png", "label": "ab"[i % 2], "mask": f"mask{i}.png" if i % 4 < 2 else ""})
        save(tmp_path / "8.png", noise())
        return write_csv(tmp_path / "table.csv", [*rows, {"file": "8.png", "label": "a", "mask": ""}])

    return make


def test_the_lungs_stay_and_the_tag_goes(chests: tuple[np.ndarray, np.ndarray]):
    how = Preprocessing.parse("lungs", 64)
    for image, mask in zip(*chests, strict=True):
        window = how.window(Image.fromarray(image))
        left, upper, right, lower = window.box
        assert not window.no_lungs
        assert mask[upper:lower, left:right].sum() > 0.95 * mask.sum()
        assert upper >= 24  # the tag ends there
        assert right <= 155
        assert (right - left) * (lower - upper) < 2 * np.prod([np.ptp(np.nonzero(mask)[axis]) + 1 for axis in (0, 1)])
        lungs = how.mask(Image.fromarray(mask.astype(np.uint8) * 255), window)
        small = Image.fromarray(mask[upper:lower, left:right].astype(np.uint8) * 255).resize(
            (64, 64), Image.Resampling.BILINEAR
        )
        assert np.array_equal(lungs, np.asarray(small) >= 128)


@pytest.mark.parametrize("words", ["lungs", "lungs+square", "lungs+pad", "top=0.4+lungs", "lungs+top=0.4+pad"])
def test_the_words_of_a_crop_come_back_and_work_together(chests: tuple[np.ndarray, np.ndarray], words: str):
    how = Preprocessing.parse(words, 64)
    assert how.lungs
    assert Preprocessing.parse(how.crop, 64) == how
    assert Preprocessing.model_validate_json(how.model_dump_json()) == how
    image = Image.fromarray(chests[0][0])
    box, alone = how.window(image).box, Preprocessing.parse("lungs", 64).window(image).box
    assert box == (alone[0], max(alone[1], int(180 * how.top)), *alone[2:])
    shape = how.square(image, how.window(image)).size
    width, height = box[2] - box[0], box[3] - box[1]
    side = {"squash": (width, height), "square": (min(width, height),) * 2, "pad": (max(width, height),) * 2}[how.shape]
    assert shape == side
    assert how.pixels(image).shape == (64, 64)
    with pytest.raises(InputError, match="unknown crop"):
        Preprocessing.parse("lungs+lung", 64)


@pytest.mark.parametrize("words", ["top=0.4+pad", "lungs+pad", "lungs+top=0.4+pad"])
def test_what_was_cut_off_does_not_come_back_in_the_padding(chests: tuple[np.ndarray, np.ndarray], words: str):
    wide = Image.fromarray(np.where(np.arange(120)[:, None] < 48, 255, 90).astype(np.uint8).repeat(260, axis=1))
    assert Preprocessing.parse("top=0.4+pad", 64).pixels(wide).max() == 90
    how = Preprocessing.parse(words, 64)
    image = Image.fromarray(chests[0][7])
    padded = np.asarray(how.square(image, how.window(image)))
    left, upper, right, lower = how.window(image).box
    assert padded.sum(dtype=int) == chests[0][7][upper:lower, left:right].sum(dtype=int)


def test_files_their_masks_and_new_images_are_cut_alike_and_misses_are_counted(chest_table, tmp_path: Path):
    path = chest_table()
    found = data.load(f"table:{path}", image_size=64, crop="lungs")
    how = found.preprocessing
    assert how == Preprocessing(image_size=64, lungs=True)
    for row, file in enumerate(found.file):
        assert np.array_equal(prepare(tmp_path / Path(str(file)).name, how), found.images[row])
        if found.has_mask[row]:
            with Image.open(tmp_path / file) as image, Image.open(tmp_path / f"mask{file}") as mask:
                assert np.array_equal(found.masks()[row], how.mask(mask, how.window(image)))
            assert 0.2 < found.masks()[row].mean() < 0.65  # lungs fill the picture
    assert found.has_mask.sum() == 4
    assert NOTE in found.notes
    assert NOTE in data.summarise(found).warnings
    assert np.array_equal(found.images[8], prepare(tmp_path / "8.png", Preprocessing(image_size=64)))
    again = data.load(f"table:{path}", image_size=64, crop="lungs")  # from the cache
    assert again.fingerprint == found.fingerprint
    assert again.notes == found.notes
    whole = data.load(f"table:{path}", image_size=64)
    assert not (whole.images[:8] == found.images[:8]).all(axis=(1, 2, 3)).any()
    assert NOTE not in whole.notes


def test_a_generated_picture_is_cut_as_its_file_would_be(tmp_path: Path):
    whole, cut = (data.load("phantom:n=6,seed=3", image_size=96, crop=crop) for crop in ("none", "lungs"))
    for row in range(6):
        save(tmp_path / "x.png", whole.images[row, 0])
        assert np.array_equal(prepare(tmp_path / "x.png", Preprocessing.parse("lungs", 96)), cut.images[row])
    assert cut.masks().mean() > 1.1 * whole.masks().mean()
    assert set(cut.truth) == set(whole.truth)
    assert cut.truth_maps("lesion").sum() > whole.truth_maps("lesion").sum()


def test_arrays_in_memory_say_in_how_many_no_lungs_were_found():
    class Held:
        pathologies = ("Mass",)
        labels = np.arange(9)[:, None] % 2

        def __len__(self) -> int:
            return 9

        def __getitem__(self, index: int) -> dict[str, object]:
            pictures = [*phantom(n=8, image_size=64, seed=77).images[:, 0], noise()]
            return {"img": pictures[index][None].astype(np.float32) / 255 * 2048 - 1024}

    found = data.from_torchxrayvision(Held(), image_size=32, crop="lungs")
    assert NOTE.replace("a 1, b 0", "normal 1, Mass 0") in found.notes
