import fcntl
import multiprocessing
import os
import signal
import time

import optuna
import pytest

from nas.engine.journal import journal_storage, mend_torn_tail
from nas.files import WriteError


def test_a_torn_last_line_is_cut_off_and_the_study_goes_on(tmp_path):
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=journal_storage(path), study_name="s")
    study.tell(study.ask(), 1.0)
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "torn')

    reopened = optuna.load_study(storage=journal_storage(path), study_name="s")
    reopened.tell(reopened.ask(), 2.0)

    again = optuna.load_study(storage=journal_storage(path), study_name="s")
    assert [t.value for t in again.trials] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "kept"),
    [(b"", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"torn", b""), (b"a\n" + b"x" * 200_000, b"a\n")],
)
def test_mending_keeps_every_complete_line(tmp_path, content, kept):
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    assert mend_torn_tail(path) == len(content) - len(kept)
    assert path.read_bytes() == kept


def _hold(path, ready):
    storage = journal_storage(path)
    storage._backend._lock.acquire()
    ready.set()
    time.sleep(60)


def test_a_killed_holder_of_the_lock_blocks_nobody(tmp_path):
    path = tmp_path / "journal.log"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(path, ready))
    holder.start()
    assert ready.wait(60)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()

    started = time.monotonic()
    optuna.create_study(storage=journal_storage(path), study_name="s")
    assert time.monotonic() - started < 20  # Optuna's own lock would wait 30 s for the dead holder


def test_a_journal_that_cannot_be_written_leaves_its_lock_to_the_next(tmp_path):
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=journal_storage(path), study_name="s")
    path.rename(tmp_path / "moved")
    path.mkdir()
    with pytest.raises(WriteError, match=r"cannot write .*journal\.log"):
        study.set_user_attr("a", 1)
    with (tmp_path / "journal.log.flock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the lock is still held
