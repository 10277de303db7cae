"""The decoded cache: found again by content, rebuilt when damaged, never trusted blindly."""

from __future__ import annotations

import os
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from data_samples import picture, save

import nas.data as data
from nas.data import decoding
from nas.files import read_json, write_json
from search_spaces.errors import ToolkitError


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the files that are decoded."""
    seen: list[int] = []
    original = decoding._file

    def counted(index, row, settings):
        seen.append(index)
        return original(index, row, settings)

    monkeypatch.setattr(decoding, "_file", counted)
    return seen


def entry(cache: Path) -> Path:
    (found,) = (cache / "decoded").iterdir()
    return found


def test_second_load_decodes_nothing_and_gives_the_same(table, tmp_path: Path, decodes: list[int]):
    path = table(24, mask=lambda i: "")
    first = data.load(str(path), image_size=32, cache=tmp_path / "cache")
    assert len(decodes) == 24
    second = data.load(str(path), image_size=32, cache=tmp_path / "cache")
    assert len(decodes) == 24
    assert isinstance(second.images, np.memmap)
    assert first.fingerprint == second.fingerprint
    assert data.load(str(path), image_size=32, cache=None).fingerprint == first.fingerprint


def test_touched_and_moved_files_are_found_by_content(table, tmp_path: Path, decodes: list[int]):
    path = table(24)
    cache = tmp_path / "cache"
    first = data.load(str(path), image_size=32, cache=cache)
    os.utime(tmp_path / "images/003.png", (1, 1))
    data.load(str(path), image_size=32, cache=cache)
    shutil.copytree(tmp_path / "images", tmp_path / "copy/images")
    shutil.copy(path, tmp_path / "copy/table.csv")
    moved = data.load(str(tmp_path / "copy/table.csv"), image_size=32, cache=cache)
    assert len(decodes) == 24
    assert moved.fingerprint == first.fingerprint


def test_changed_pixels_and_other_settings_are_decoded_anew(table, tmp_path: Path, decodes: list[int]):
    path = table(24)
    cache = tmp_path / "cache"
    first = data.load(str(path), image_size=32, cache=cache)
    save(tmp_path / "images/003.png", picture(99))
    assert data.load(str(path), image_size=32, cache=cache).fingerprint != first.fingerprint
    data.load(str(path), image_size=32, crop="square", cache=cache)
    data.load(str(path), image_size=40, cache=cache)
    assert len(decodes) == 4 * 24


@pytest.mark.parametrize("name", ["images.bin", "masks.bin", "rows.npy", "near.npy", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_damaged_entry_rebuilds_itself(table, tmp_path: Path, decodes: list[int], name: str, harm: str):
    path = table(12)
    cache = tmp_path / "cache"
    before = data.load(str(path), image_size=32, cache=cache).fingerprint
    file = entry(cache) / name
    content = bytearray(file.read_bytes())
    if harm == "delete":
        file.unlink()
    else:
        middle = len(content) // 2
        file.write_bytes(content[:middle] if harm == "truncate" else content[:middle] + b"\xff\x00\xff" + content[middle + 3 :])
    again = data.load(str(path), image_size=32, cache=cache)
    assert len(decodes) == 24
    assert again.fingerprint == before


def test_a_damaged_index_costs_a_look_at_the_content_only(table, tmp_path: Path, decodes: list[int]):
    path = table(12)
    cache = tmp_path / "cache"
    data.load(str(path), image_size=32, cache=cache)
    for file in (cache / "index").iterdir():
        file.write_text("rubbish")
    data.load(str(path), image_size=32, cache=cache)
    for file in (cache / "index").iterdir():
        write_json(file, {"entry": "../../elsewhere"})
    data.load(str(path), image_size=32, cache=cache)
    assert len(decodes) == 12


def test_an_interrupted_build_leaves_nothing(table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = table(24)
    original = decoding._file

    def interrupted(index, row, settings):
        if index == 13:
            raise KeyboardInterrupt
        return original(index, row, settings)

    monkeypatch.setattr(decoding, "_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load(str(path), image_size=32, cache=tmp_path / "cache")
    assert list((tmp_path / "cache/decoded").iterdir()) == []


def test_half_built_entries_of_killed_processes_are_swept(table, tmp_path: Path):
    stale, fresh = (tmp_path / "cache/decoded" / name for name in (".building-old", ".building-new"))
    stale.mkdir(parents=True)
    fresh.mkdir()
    os.utime(stale, (time.time() - 2 * 24 * 3600,) * 2)
    data.load(str(table(12)), image_size=32, cache=tmp_path / "cache")
    assert not stale.exists()
    assert fresh.exists()


def test_a_cache_that_cannot_be_written_is_said(table, tmp_path: Path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ToolkitError, match=r"cannot write the cache.*PEPX_NAS_CACHE"):
        data.load(str(table(12)), image_size=32, cache=tmp_path / "cache")


def test_a_full_disk_is_one_line_and_leaves_nothing(table, tmp_path: Path):
    path = table(24)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # what is written beyond it fails like on a full disk
    try:
        with pytest.raises(ToolkitError, match=r"cannot write the cache.*PEPX_NAS_CACHE"):
            data.load(str(path), image_size=64, cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "cache/decoded").iterdir()) == []
    assert len(data.load(str(path), image_size=64, cache=tmp_path / "cache")) == 24


def test_an_entry_that_another_process_finishes_while_one_looks_is_no_error(table, tmp_path: Path):
    gone = tmp_path / "cache/decoded/.building-gone"
    gone.parent.mkdir(parents=True)
    gone.symlink_to(tmp_path / "nowhere")  # listed, but not there any more
    assert len(data.load(str(table(12)), image_size=32, cache=tmp_path / "cache")) == 12


def test_unreadable_files_are_remembered(table, tmp_path: Path):
    path = table(24)
    (tmp_path / "images/003.png").write_bytes(b"")
    first, second = (data.load(str(path), image_size=32, cache=tmp_path / "cache") for _ in range(2))
    assert first.notes == second.notes
    assert len(second) == 23
    assert read_json(entry(tmp_path / "cache") / "manifest.json")["unreadable"] == [["images/003.png", "empty file"]]


def test_progress_reaches_the_end(table, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    data.load(str(table(24)), image_size=32, cache=tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (24, 24)


def test_writing_to_a_mapped_image_never_reaches_the_file(table, tmp_path: Path):
    path = table(12)
    first = data.load(str(path), image_size=32, cache=tmp_path / "cache")
    first.images[:] = 0
    assert data.load(str(path), image_size=32, cache=tmp_path / "cache").images.any()
