import pytest

from nas.engine.storage import file_system, open_storage, redact
from search_spaces.errors import InputError


def test_default_is_a_journal_in_the_run_directory(tmp_path):
    open_storage(None, tmp_path)
    assert (tmp_path / "journal.log").exists()


def test_sqlite_is_accepted_for_one_worker_and_refused_for_two(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    open_storage(url, tmp_path)
    with pytest.raises(InputError, match="SQLite takes one worker, but 2"):
        open_storage(url, tmp_path, workers=2)


def test_unknown_scheme_names_the_known_ones_and_hides_the_password(tmp_path):
    with pytest.raises(InputError, match=r"unknown storage 'oracle://me:\*\*\*@host/db'"):
        open_storage("oracle://me:secret@host/db", tmp_path)


def test_redact_keeps_everything_but_the_password():
    assert redact("postgresql://me:s3cret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert redact("journal:/tmp/x") == "journal:/tmp/x"


def test_file_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/net nfs4 rw 0 0\n")
    assert file_system(tmp_path / "net" / "a", mounts) == "nfs4"
    assert file_system(tmp_path / "network", mounts) == "ext4"
    monkeypatch.setattr("nas.engine.storage.file_system", lambda path: "nfs4")
    with pytest.raises(InputError, match="network file system"):
        open_storage(None, tmp_path)


def test_grpc_needs_host_and_port(tmp_path):
    with pytest.raises(InputError, match="must name host and port"):
        open_storage("grpc://", tmp_path)
