import sys

import pytest

from nas.engine.directory import RunDirectory
from nas.engine.settings import SearchSettings
from nas.engine.storage import file_system, open_storage, redact
from nas.engine.study import open_study
from nas.jobs.worker import worker
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


@pytest.mark.parametrize("url", ["x://[", "grpc://host:99999", "postgresql://me:secret@[::1/db", "grpc://host:port"])
def test_what_is_no_url_is_refused_without_its_password(tmp_path, url):
    with pytest.raises(InputError, match="is no URL") as refused:
        open_storage(url, tmp_path)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "module", "package"), [("mysql://me@h/d", "MySQLdb", "mysqlclient"), ("postgresql://me@h/d", "psycopg", "postgres")]
)
def test_a_missing_driver_is_named_as_it_is_installed(tmp_path, monkeypatch, url, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs a driver .*; pip install .*{package}"):
        open_storage(url, tmp_path)


def test_redact_keeps_everything_but_the_password():
    assert redact("postgresql://me:s3cret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert redact("journal:/tmp/x") == "journal:/tmp/x"


def test_file_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/net nfs4 rw 0 0\n")
    assert file_system(tmp_path / "net" / "a", mounts) == "nfs4"
    assert file_system(tmp_path / "network", mounts) == "ext4"
    (tmp_path / "scratch").symlink_to(tmp_path / "net")
    assert file_system(tmp_path / "scratch" / "a", mounts) == "nfs4"
    monkeypatch.setattr("nas.engine.storage.file_system", lambda path: "nfs4")
    with pytest.raises(InputError, match="network file system"):
        open_storage(None, tmp_path)


def test_grpc_needs_host_and_port(tmp_path):
    with pytest.raises(InputError, match="must name host and port"):
        open_storage("grpc://", tmp_path)


@pytest.fixture
def proxied():
    """A function that serves a storage through gRPC; returns the proxy's URL."""
    pytest.importorskip("grpc", reason="the extra 'grpc' is not installed")
    from optuna.storages._grpc.server import make_server

    from tests.postgres import _free_port

    servers = []

    def serve(storage):
        port = _free_port()
        servers.append(make_server(storage, "127.0.0.1", port))
        servers[-1].start()
        return f"grpc://127.0.0.1:{port}"

    yield serve
    for server in servers:
        server.stop(None).wait()


def test_a_proxy_before_a_journal_is_refused_and_one_before_a_database_is_not(tmp_path, proxied):
    def join(url):
        return open_study(open_storage(url, tmp_path), "s", settings=SearchSettings(), facts={"threads": 1})

    with pytest.raises(InputError, match="proxy serves a journal file"):
        join(proxied(open_storage(None, tmp_path)))
    database = open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path)
    study = join(proxied(database))
    study.tell(study.ask(), 1.0)
    assert study.best_value == 1.0
    database.inner._backend.engine.dispose()


def test_a_second_worker_on_sqlite_is_refused(tmp_path):
    with pytest.raises(InputError, match="SQLite takes one worker"):
        worker(f"sqlite:///{tmp_path}/study.db", "s")


def test_a_worker_joins_no_other_run_directory(tmp_path):
    search = RunDirectory(tmp_path / "search")
    study = open_study(
        open_storage(None, search.path), "s", settings=SearchSettings(), facts={"threads": 1, "run": search.identity()}
    )
    study.set_user_attr("directory", str(tmp_path / "elsewhere"))
    url = f"journal:{search.path}/journal.log"
    with pytest.raises(InputError, match="cannot be seen from here"):
        worker(url, "s")
    with pytest.raises(InputError, match="holds no search"):
        worker(url, "s", directory=tmp_path)
    with pytest.raises(InputError, match="it belongs to another run directory"):
        open_study(study._storage, "s", settings=SearchSettings(), facts={"run": RunDirectory(tmp_path / "other").identity()})


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+pg8000"])
def test_a_driver_that_is_missing_is_not_said_to_be_in_an_extra_that_lacks_it(tmp_path, scheme):
    with pytest.raises(InputError, match=r"needs a driver \(.*\); install the one that the URL names"):
        open_storage(f"{scheme}://u:secret@host/db", tmp_path)
