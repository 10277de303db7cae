import json
import shutil

import pytest

from nas.engine.directory import RunDirectory, damaged_files, is_sealed, read_record, read_search, renew_sum, run_of, seal
from nas.files import write_json
from nas.records import Picture
from search_spaces.errors import InputError


@pytest.fixture
def run(tmp_path):
    """A finished run: two sealed trials, its own records, a journal."""
    directory = RunDirectory(tmp_path)
    for key in ("a", "b"):
        write_json(directory.trial(key) / "trial.json", {"key": key})
        (directory.trial(key) / "weights.safetensors").write_bytes(bytes(100))
        seal(directory.trial(key))
    for file in (directory.settings, directory.parts, directory.data, directory.record):
        write_json(file, {})
    (tmp_path / "journal.log").write_text('{"op_code": 0}\n{"op_code": 1}\n')
    directory.identity()
    directory.seal()
    return directory


def test_a_whole_run_has_no_damaged_file(run):
    assert damaged_files(run.path) == []


@pytest.mark.parametrize(
    "name", ["run.json", "parts.json", "settings.json", "data.json", "identity.json", "trials/a/weights.safetensors", "trials/b/trial.json"]
)  # fmt: skip
def test_a_changed_or_missing_file_is_named(run, name):
    path = run.path / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    assert damaged_files(run.path) == [f"{path}: content differs from its checksum"]
    path.unlink()
    assert damaged_files(run.path) == [f"{path}: missing"]


def test_a_trial_that_is_gone_with_its_checksums_is_missed(run):
    shutil.rmtree(run.trial("a"))
    assert damaged_files(run.path) == [f"{run.trial('a') / 'checksums.json'}: missing"]


def test_a_page_that_is_written_anew_is_vouched_for_again(run):
    page = run.path / "index.html"
    page.write_text("first")
    renew_sum(page)  # not recorded: nothing to renew
    run.seal()
    page.write_text("second")
    assert damaged_files(run.path) == [f"{page}: content differs from its checksum"]
    renew_sum(page)
    assert damaged_files(run.path) == []


@pytest.mark.parametrize(("content", "found"), [("{\n{}\n", 1), ("{}\n{]\n{}\n", 2), ('{}\n{"torn', None)])
def test_a_damaged_journal_names_its_line_and_a_torn_last_one_is_no_damage(run, content, found):
    journal = run.path / "journal.log"
    journal.write_text(content)
    assert damaged_files(run.path) == ([f"{journal}: line {found} is not JSON"] if found else [])


def test_damaged_checksums_are_named(run):
    (run.trial("a") / "checksums.json").write_text("[1]")
    assert str(run.trial("a") / "checksums.json") in damaged_files(run.path)[0]
    assert not is_sealed(run.trial("a"))


def test_sealing_takes_away_what_a_killed_process_left_half_written(run):
    left = run.trial("a") / ".weights.safetensors.x1.tmp"
    left.write_bytes(b"half")
    seal(run.trial("a"))
    assert not left.exists()
    assert is_sealed(run.trial("a"))


def test_a_run_keeps_its_identity_and_no_two_share_one(run, tmp_path):
    assert run.identity() == RunDirectory(run.path).identity()
    assert run.identity() != RunDirectory(tmp_path / "other").identity()


@pytest.mark.parametrize("value", [{}, [], {"seed": "x"}, None], ids=json.dumps)
def test_a_record_of_another_shape_names_its_file(run, value):
    write_json(run.record, value)
    with pytest.raises(InputError, match=r"run\.json is damaged or of another version"):
        read_search(run.path)


def test_a_record_of_files_whose_names_are_no_utf8_is_read_again(tmp_path):
    record = Picture(path="M\udcfcller.png", title="image", caption="")
    write_json(tmp_path / "picture.json", record.model_dump(mode="json"))
    assert read_record(Picture, tmp_path / "picture.json") == record


@pytest.mark.parametrize(
    ("before", "settings", "stays"), [(False, "", False), (True, "", True), (False, "settings.json", True)]
)
def test_what_is_refused_leaves_no_directory_unless_it_was_there_or_had_begun(tmp_path, before, settings, stays):
    directory = RunDirectory(tmp_path / "run")
    if before:
        directory.path.mkdir()

    def begin():
        with directory.owned():
            write_json(directory.parts, {})
            if settings:
                write_json(directory.path / settings, {})
            raise InputError("budget '40Q'")

    with pytest.raises(InputError, match="budget"):
        begin()
    assert directory.path.exists() == stays


def test_a_run_is_found_from_a_candidate_that_is_named_from_within(tmp_path, monkeypatch):
    candidate = tmp_path / "run" / "candidates" / "key"
    candidate.mkdir(parents=True)
    assert run_of(candidate) is None
    (tmp_path / "run" / "settings.json").write_text("{}")
    assert run_of(candidate) == tmp_path / "run"
    monkeypatch.chdir(candidate.parent)
    assert run_of("key") == tmp_path / "run"
