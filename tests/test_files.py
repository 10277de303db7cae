import errno
import os

import pytest

from nas import files
from nas.files import read_json, write_bytes, write_json, write_text
from search_spaces.errors import InputError, ToolkitError


@pytest.mark.parametrize("step", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_write_that_fails_at_any_step_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step, number):
    path = tmp_path / "record.json"
    write_json(path, {"old": 1})

    def refuse(*args, **kwargs):
        if step == "fdopen":
            os.close(args[0])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, step, refuse)
    with pytest.raises(ToolkitError, match=r"cannot write .*record\.json"):
        write_json(path, {"new": 2})
    monkeypatch.undo()
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_directory_that_is_a_file_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run" / "x", tmp_path / "run" / "deep" / "x"):
        with pytest.raises(InputError, match=r"cannot write to .*run.*: a file stands there; choose another --out"):
            write_bytes(path, b"")


def test_nan_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000, "\xff"])
def test_damaged_json_names_the_file(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"x\.json"):
        read_json(path)


def test_oversized_json_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 3)
    (tmp_path / "x.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="6 bytes, more than 3"):
        read_json(tmp_path / "x.json")


def test_a_file_name_that_is_no_utf8_is_written_as_its_bytes(tmp_path):
    write_text(tmp_path / "list.csv", os.fsdecode(b"M\xfcller.png\n"))
    assert (tmp_path / "list.csv").read_bytes() == b"M\xfcller.png\n"
