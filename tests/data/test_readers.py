"""Every reader on a tiny sample of its layout: counts, labels, groups, masks, splits, errors; and recognition of a bare path."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_layouts import LAYOUTS, Layout, lay_out
from data_samples import lung, picture, save

import nas.data as data
from nas.data.readers import get_reader, reader_names
from nas.data.readers.covidx import parse_line
from nas.data.readers.folder import images_below, patient_of
from nas.data.readers.ieee8023 import label_of
from nas.data.readers.layout import entries
from nas.data.readers.nih14 import label_of as nih_label
from search_spaces.errors import InputError


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    if request.param in ("dicom", "rsna"):
        pytest.importorskip("pydicom", reason="needs the extra 'dicom'")
    return lay_out(request.param, tmp_path)


def test_every_reader_has_a_layout():
    assert set(LAYOUTS) == set(reader_names()) - {"phantom"}


def test_counts_labels_groups_masks_and_splits(layout: Layout):
    found = data.load(f"{layout.reader}:{layout.path}", image_size=24)
    assert Counter(np.array(found.classes)[found.labels].tolist()) == layout.classes
    assert int(found.has_mask.sum()) == layout.masks
    assert len(set(found.group)) == layout.groups
    assert Counter(found.split.tolist()) == layout.splits
    assert set(found.source) == layout.sources
    assert found.skipped == layout.skipped
    assert not np.unpackbits(found.packed_masks[~found.has_mask]).any()
    assert len(set(found.file)) == len(found)


def test_a_bare_path_is_recognised_and_said(layout: Layout):
    found = data.load(str(layout.path), image_size=24)
    assert f"recognised as {layout.reader}: " in found.notes[0]
    assert len(found) == sum(layout.classes.values())


def test_covid_qu_ex_is_recognised_by_the_part_that_is_read(tmp_path: Path):
    whole = lay_out("covid-qu-ex", tmp_path).path
    assert data.load(str(whole), image_size=24).notes[0].endswith("COVID-QU-Ex (Lung Segmentation Data)")


def test_a_plain_folder_and_a_missing_one_are_refused(layout: Layout, tmp_path: Path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError):
        data.load(f"{layout.reader}:{tmp_path / 'nothing'}")
    with pytest.raises(InputError, match="no file or folder"):
        data.load(f"{layout.reader}:{tmp_path / 'missing'}")


def test_readers_recognise_only_their_own_layout(layout: Layout):
    first = next(name for name in reader_names() if get_reader(name).recognise(layout.path))
    assert first == layout.reader


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("3 SARS-10.1148.jpg pneumonia", ("3", "SARS-10.1148.jpg", "pneumonia", "")),
        ("379 1-s2.0-S16.jpg COVID-19 cohen", ("379", "1-s2.0-S16.jpg", "covid", "cohen")),
        ("COVID 70 COVID(70).png COVID-19 sirm", ("COVID 70", "COVID(70).png", "covid", "sirm")),
        ("a b.png negative rnsa", ("a", "b.png", "negative", "rsna")),
        ("a b.png level2 ricord", ("a", "b.png", "level2", "ricord")),
        ("positive a.png", None),
        ("", None),
        ("a b c d", None),
    ],
)
def test_covidx_lines_are_read_from_the_right(line: str, expected: tuple[str, ...] | None):
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("Pneumonia/Viral/COVID-19", "covid"), ("COVID-19, ARDS", "covid"), ("Pneumonia/Viral/SARS", "pneumonia"), ("SARS", "pneumonia"),
        ("Pneumonia", "pneumonia"), ("No Finding", "normal"), ("todo", ""), ("Unknown", ""), ("", ""), ("Tuberculosis", "tuberculosis"),
    ],
)  # fmt: skip
def test_ieee8023_findings(finding: str, label: str):
    assert label_of(finding) == label


def test_nih_findings():
    assert [nih_label(f) for f in ("No Finding", "Mass", "Mass|Pneumonia", "Mass|Nodule")] == [
        "normal",
        "mass",
        "pneumonia",
        "",
    ]


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_medmnist_images_may_have_an_axis_of_channels(tmp_path: Path, channels: tuple[int, ...]):
    images = np.stack([picture(i, (28, 28)) for i in range(8)])
    shaped = np.broadcast_to(images.reshape(8, 28, 28, *[1] * len(channels)), (8, 28, 28, *channels))
    np.savez(tmp_path / "pneumoniamnist.npz", train_images=shaped, train_labels=np.arange(8)[:, None] % 2)
    assert np.array_equal(data.load(f"medmnist:{tmp_path / 'pneumoniamnist.npz'}", image_size=28).images[:, 0], images)


def test_medmnist_arrays_that_are_no_images_are_an_error(tmp_path: Path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros((8, 28, 28, 2), np.uint8), train_labels=np.arange(8) % 2)
    with pytest.raises(InputError, match=r"8 of 8 images cannot be read.*train/0 \(not an image, but uint8 \(28, 28, 2\)\)"):
        data.load(f"medmnist:{tmp_path / 'a.npz'}", image_size=28)


def test_radiography_reads_no_mask_as_an_image_and_counts_other_folders(tmp_path: Path):
    for i, name in enumerate(("COVID", "Normal", "Viral Pneumonia", "Tuberculosis")):
        for k in range(3):
            save(tmp_path / name / f"{k}.png", picture(10 * i + k))
            save(tmp_path / name / "masks" / f"{k}.png", lung())
    (tmp_path / "docs").mkdir()
    found = data.load(f"radiography:{tmp_path}", image_size=32)
    assert (len(found), int(found.has_mask.sum())) == (9, 9)
    assert found.skipped == {"folder Tuberculosis is no class": 6}


def test_kermany_patients_are_read_from_names():
    assert patient_of("person12_virus_4.jpeg", "train") == patient_of("person12_bacteria_9.jpeg", "train") == "train/person12"
    assert patient_of("IM-0115-0001.jpeg", "") == "im-0115"
    assert patient_of("NORMAL2-IM-0528-0001-0002.jpeg", "") == "normal2-im-0528"
    assert patient_of("VIRUS-99-0001.jpeg", "") == "virus-99"
    assert patient_of("covid_1.png", "") == ""


def _tree(base: Path, *files: str) -> Path:
    """Images, no two alike, and masks (below ``masks``) under these names; a folder of four for a name that ends with ``/``."""
    names = [name for given in files for name in ([f"{given}{i}.png" for i in range(4)] if given.endswith("/") else [given])]
    for i, name in enumerate(names):
        save(base / name, lung() if "masks" in name else picture(i))
    return base


@pytest.mark.parametrize(
    "files",
    [
        ("a/images/", "b/images/", "a/masks/", "b/masks/"),
        ("a/", "b/", "a/masks/", "b/masks/"),
        ("a/", "b/", "masks/a/", "masks/b/"),
        ("images/a/", "images/b/", "masks/a/", "masks/b/"),
        ("set/images/a/", "set/images/b/", "set/masks/a/", "set/masks/b/"),
        ("train/a/", "train/b/", "train/masks/a/", "train/masks/b/"),
        ("images/train/a/", "images/train/b/", "masks/train/a/", "masks/train/b/"),
        ("a/", "a/masks/", "b/images/p1/", "b/masks/p1/"),
    ],
    ids="{0[0]} {0[2]}".format,
)
def test_masks_lie_inside_or_beside_the_images(tmp_path: Path, files: tuple[str, ...]):
    found = data.load(f"folder:{_tree(tmp_path / 'set', *files)}", image_size=24)
    assert found.classes == ("a", "b")
    assert np.bincount(found.labels).tolist() == [4, 4]
    assert found.has_mask.all()
    assert found.skipped == {}


def test_everything_in_a_folder_is_an_image_or_counted(tmp_path: Path):
    base = _tree(
        tmp_path / "set", "train/a/", "train/b/", "test/a/", "test/b/", "train/stray.png", "holdout/a/", "val/", "stray.png",
        "train/a/masks/0.png", "train/a/masks/other.png", "train/b/images/", "train/b/masks/",
    )  # fmt: skip
    (base / "holdout" / "notes.txt").write_text("text")
    (base / "train" / "a" / "more").symlink_to(base / "test")
    (base / "linked").symlink_to(base / "test")
    found = data.load(f"folder:{base}", image_size=24)
    outside = "image outside the class folders"
    assert found.skipped == {
        outside: 1, f"{outside} (train)": 5, f"{outside} (holdout)": 4, f"{outside} (val)": 4, "not an image (.txt)": 1,
        "mask without an image of its name": 1, "linked folder, not followed": 2,
    }  # fmt: skip
    assert len(found) == 16
    assert found.has_mask.sum() == 5


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path):
    for i in range(3):
        save(tmp_path / f"{i}" / "deep" / f"{i}.png", picture(i))
    images = images_below(tmp_path)
    assert next(images).name == "0.png"
    shutil.rmtree(tmp_path / "2")
    with pytest.raises(InputError, match=r"cannot list .*2: No such file"):
        list(images)
    with pytest.raises(InputError, match=r"cannot list .*2: No such file"):
        entries(tmp_path / "2")


def test_a_linked_class_folder_is_read(tmp_path: Path):
    _tree(tmp_path / "set", "a/")
    (tmp_path / "set" / "b").symlink_to(_tree(tmp_path / "elsewhere", *(f"b{i}.png" for i in range(9))))
    found = data.load(f"folder:{tmp_path / 'set'}", image_size=24)
    assert np.bincount(found.labels).tolist() == [4, 9]
    assert found.skipped == {}


@pytest.mark.parametrize("inside", ["", "train/"])
def test_a_wrapping_folder_is_looked_into(tmp_path: Path, inside: str):
    base = _tree(tmp_path / "set", f"chest_xray/chest_xray/{inside}NORMAL/", f"chest_xray/chest_xray/{inside}PNEUMONIA/")
    found = data.load(str(base), image_size=24)
    assert found.classes == ("NORMAL", "PNEUMONIA")
    assert set(found.source) == {"set"}
    assert any("the class folders are those in chest_xray, the only folder of set" in note for note in found.notes)


def test_a_lone_class_folder_is_none_that_wraps(tmp_path: Path):
    base = _tree(tmp_path / "set", "covid/", "covid/site1/", "covid/site2/")
    assert data.load(f"folder:{base}", image_size=24, lenient=True).classes == ("covid",)
    with pytest.raises(
        InputError, match=r"holds no image in class folders \(found: 4 × image outside the class folders \(images\)"
    ):
        data.load(f"folder:{_tree(tmp_path / 'flat', 'images/', 'masks/')}", image_size=24)


def test_a_users_reader_needs_one_function(tmp_path: Path, table: Callable[..., Path]):
    from nas.data.readers.base import readers

    table(12)

    @data.register_reader("mine", "numbered pictures")
    def read(path: Path) -> data.Listing:
        return data.Listing([data.Row(file, "ab"[i % 2], source="mine") for i, file in enumerate(sorted(path.glob("*.png")))])

    try:
        found = data.load(f"mine:{tmp_path / 'images'}", image_size=24)
        assert found.classes == ("a", "b")
        assert len(found) == 12
    finally:
        readers._entries.pop("mine")
