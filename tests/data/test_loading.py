"""``load``: one data set in memory from specs, whatever is wrong with some of its files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import nas.data as data
from search_spaces.errors import InputError


def test_table_becomes_the_in_memory_form(table):
    path = table(24, patient=lambda i: f"p{i // 2}", source=lambda i: "ab"[i % 2], age=lambda i: i)
    found = data.load(f"table:{path}", image_size=32)
    assert found.images.shape == (24, 1, 32, 32)
    assert found.images.dtype == np.uint8
    assert found.classes == ("normal", "covid")
    assert found.labels.tolist() == [0, 1] * 12
    assert found.native_size[0].tolist() == [40, 48]
    assert found.metadata["age"].tolist()[:3] == ["0", "1", "2"]
    assert found.file[3] == "images/003.png"
    assert found.preprocessing == data.Preprocessing(image_size=32)


def test_paths_are_specs_too(table):
    path = table(6)
    assert data.load(path, image_size=32).asked == data.load([path], image_size=32).asked == (str(path),)


def test_a_patient_of_several_sources_is_one_person_and_given_groups_join_patients(table):
    path = table(12, patient=lambda i: f"p{i // 4}", source=lambda i: "ab"[i % 2], group=lambda i: "g" if i in (0, 4) else "")
    found = data.load(str(path), image_size=32)
    assert [len(set(found.group[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert found.group[0] == found.group[7] == "g" != found.group[8]
    assert any("3 patients' ids occur in several sources and count as one person each" in note for note in found.notes)


def test_unreadable_images_are_counted_and_listed(table, tmp_path: Path):
    path = table(24)
    (tmp_path / "images/003.png").write_bytes(b"")
    (tmp_path / "images/004.png").write_bytes(b"no picture")
    (tmp_path / "images/005.png").unlink()
    found = data.load(f"table:{path}", image_size=32)
    assert len(found) == 21
    assert found.skipped == {"unreadable: empty file": 1, "unreadable: not an image": 1, "unreadable: missing file": 1}
    assert any("images/004.png (not an image)" in note for note in found.notes)


def test_too_many_unreadable_images_are_an_error(table, tmp_path: Path):
    path = table(24)
    for i in range(4):
        (tmp_path / f"images/{i:03}.png").write_bytes(b"")
    assert len(data.load(f"table:{path}", image_size=32, lenient=True)) == 20
    with pytest.raises(InputError, match=r"4 of 24 images cannot be read.*000.png .empty file"):
        data.load(f"table:{path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense:somewhere", "unknown data reader 'nonsense'; known: phantom"),
        ("table:missing.csv", "no file or folder"),
        ("missing-folder", "no file or folder 'missing-folder' in /.*, the working directory; check the path"),
        ("/missing-folder", "no file or folder '/missing-folder'; check the path"),
        ("", "the data spec is empty"),
        ("table:", "names no path"),
        ("table:\x00", "no file or folder"),
        ("x" * 9000, "no file or folder"),
    ],
)
def test_bad_specs_name_value_and_remedy(spec: str, message: str):
    with pytest.raises(InputError, match=message):
        data.load(spec)


def test_archives_and_empty_folders_are_refused(tmp_path: Path):
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="is an archive; unpack it first"):
        data.load(str(tmp_path / "set.zip"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image in class folders"):
        data.load(f"folder:{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="is not recognised"):
        data.load(str(tmp_path / "empty"))


def test_one_class_is_an_error_unless_only_looked_at(table):
    path = table(12, label=lambda i: "normal")
    with pytest.raises(InputError, match="images of 1 class"):
        data.load(f"table:{path}")
    assert len(data.load(f"table:{path}", lenient=True)) == 12


def test_classes_are_selected_ordered_and_merged(table):
    path = table(24, label=lambda i: ("Normal", "COVID-19", "pneumonia", "other")[i % 4])
    found = data.load(str(path), classes="covid,normal", image_size=32)
    assert found.classes == ("covid", "normal")
    assert np.bincount(found.labels).tolist() == [6, 6]
    assert found.skipped == {"class not selected: pneumonia": 6, "class not selected: other": 6}
    merged = data.load(str(path), classes=("normal", "abnormal=covid+pneumonia"), image_size=32)
    assert merged.classes == ("normal", "abnormal")
    assert np.bincount(merged.labels).tolist() == [6, 12]
    assert merged.selection == ("normal", "abnormal=covid+pneumonia")
    assert data.load(str(path), classes=merged.selection, image_size=32).fingerprint == merged.fingerprint
    with pytest.raises(InputError, match=r"no label 'flu'; its labels: Normal \(6\)"):
        data.load(str(path), classes="flu,normal")


def test_labels_that_look_alike_are_one_class(table):
    labels = ("COVID-19", "COVID\u201119", "covid\u201319", "Covid\u00a019", "Opacit\u00e9", "opacite\u0301")
    found = data.load(str(table(24, label=lambda i: labels[i % 6])), classes="covid,opacit\u00e9", image_size=32)
    assert np.bincount(found.labels).tolist() == [16, 8]


def test_columns_are_known_by_their_usual_spellings(table):
    columns = {"Patient ID": lambda i: i // 2, "Lung-Mask": lambda i: f"images/{i:03}.png", "native_width": lambda i: "2048.0"}
    found = data.load(str(table(24, native_height=lambda i: 2500, **columns)), image_size=32)
    assert len(set(found.group)) == 12
    assert found.has_mask.all()
    assert found.native_size[0].tolist() == [2500, 2048]


def test_any_labels_can_be_selected_again(table):
    path = table(24, label=lambda i: ("normal", "Pneumonia, viral", "stage=2")[i % 3])
    found = data.load(str(path), image_size=32)
    assert data.load(str(path), classes=found.selection, image_size=32).fingerprint == found.fingerprint
    merged = data.load(str(path), classes=("ill=pneumonia, viral+stage=2", "normal"), image_size=32)
    assert np.bincount(merged.labels).tolist() == [16, 8]
    assert data.load(str(path), classes=merged.selection, image_size=32).fingerprint == merged.fingerprint


def test_a_set_that_was_merged_before_is_selected_by_the_words_that_merge(table):
    path = table(24, label=lambda i: ("covid", "rest")[i % 2])
    found = data.load(str(path), classes=("covid", "rest=normal+pneumonia"), image_size=32)
    assert (found.classes, np.bincount(found.labels).tolist()) == (("covid", "rest"), [12, 12])
    with pytest.raises(InputError, match="no label 'normal'"):
        data.load(str(path), classes=("rest=normal+covid",), image_size=32)


def test_several_specs_carry_their_readers_name(table, tmp_path: Path):
    path = table(12, patient=lambda i: f"p{i}", source=lambda i: "here")
    folder = tmp_path / "other"
    for i, name in enumerate(["normal", "covid"] * 3):
        source = tmp_path / "images" / f"{i:03}.png"
        target = folder / name / f"{i}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    found = data.load([f"table:{path}", f"folder:{folder}"], image_size=32)
    assert sorted(set(found.source)) == ["folder:other", "table:here"]
    assert len(found) == 18
    assert len(set(found.group)) == 12  # the folder's images are the table's: same pixels, same group


def test_joined_sets_of_one_reader_share_no_source_patient_or_group(table, tmp_path: Path):
    text = table(24, patient=lambda i: i % 8 // 2, group=lambda i: "g" if i % 8 < 2 else "").read_text().splitlines()
    for site in range(3):
        (tmp_path / f"site{site}").mkdir()
        rows = [text[0], *(f"../{line}" for line in text[1 + 8 * site : 9 + 8 * site])]
        (tmp_path / f"site{site}/metadata.csv").write_text("\n".join(rows))
    found = data.load([str(tmp_path / f"site{site}") for site in range(3)], image_size=32)
    assert sorted(set(found.source)) == ["table:1:metadata", "table:2:metadata", "table:3:metadata"]
    assert len(set(found.group)) == len(set(found.patient)) == 12
    alone = data.load(str(tmp_path / "site0"), image_size=32)
    assert (set(alone.source), set(alone.patient)) == ({"metadata"}, set("0123"))


def test_joined_sets_know_which_of_them_each_image_is_of(table, tmp_path: Path):
    path = table()
    one = data.load(f"table:{path}", image_size=32, cache=None)
    several = data.load([f"table:{path}", "phantom:n=6", f"table:{path}"], image_size=32, cache=None)
    assert set(one.metadata["data_set"].tolist()) == {""}
    assert set(several.metadata["data_set"].tolist()) == {"table:1", "phantom", "table:2"}


def test_phantom_and_files_are_joined(table):
    path = table(12, source=lambda i: "here")
    found = data.load(["phantom:n=24,seed=1", f"table:{path}"], classes="normal,covid", image_size=32)
    assert found.classes == ("normal", "covid")
    assert {source.split(":")[0] for source in found.source} == {"phantom", "table"}
    assert found.skipped["class not selected: pneumonia"] > 0
    assert found.has_mask[0]
    assert not found.has_mask[-1]
    assert found.truth["lesion"].shape == found.packed_masks.shape
    assert not found.truth_maps("lesion", np.array([len(found) - 1])).any()
    assert found.spec == f"phantom:n=24,seed=1 + table:{path}"


def test_a_phantom_has_the_size_and_the_crop_that_are_asked_for():
    whole = data.load("phantom:n=6,image_size=64", image_size=64)
    assert data.load("phantom:n=6", image_size=64).fingerprint == whole.fingerprint
    with pytest.raises(InputError, match="image_size=64 differs from the image size that is asked for, 32; leave"):
        data.load("phantom:n=6,image_size=64", image_size=32)
    cropped = data.load("phantom:n=6", image_size=64, crop="top=0.5")
    assert cropped.preprocessing.crop == "top=0.5"
    lower = whole.images[:, :, 32:].repeat(2, axis=2).astype(int)
    assert np.abs(cropped.images - lower).mean() < 5 < np.abs(cropped.images - whole.images.astype(int)).mean()
    assert (cropped.masks() == whole.masks()[:, 32:].repeat(2, axis=1)).mean() > 0.98
    assert set(cropped.truth) == set(whole.truth)


def test_root_pins_every_file(table, tmp_path: Path):
    path = table(12)
    assert len(data.load(str(path), root=tmp_path, image_size=32)) == 12
    os.rename(tmp_path / "images/003.png", tmp_path.parent / "outside.png")
    (tmp_path / "images/003.png").symlink_to(tmp_path.parent / "outside.png")
    with pytest.raises(InputError, match="lies outside the data root"):
        data.load(str(path), root=tmp_path)
    assert len(data.load(str(path), image_size=32)) == 12


def test_no_torch_is_imported():
    import subprocess
    import sys

    code = "import nas.data, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
