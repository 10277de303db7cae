import subprocess
import sys
import time

import pytest

from nas.engine import local, process
from nas.engine.local import LocalPool, worker_environments
from nas.engine.progress import Silent
from nas.engine.settings import SearchSettings
from search_spaces.errors import InputError, ToolkitError

FINISHED = (
    '{"event": "trial_finished", "record": {"number": 0, "key": "k", "outcome": "failed", "architecture": {},'
    ' "cost": {"flops": 1, "parameters": 1, "memory": 1, "image_size": 32, "in_channels": 1}}}'
)


class Messages(Silent):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def pool(tmp_path, monkeypatch, program, **settings):
    """A pool whose workers run ``program``: Python code that finds how many were started before it in ``before``."""
    started = tmp_path / "started"
    head = f"from pathlib import Path; p = Path({str(started)!r}); before = len(p.read_text()) if p.exists() else 0\n"
    head += "p.write_text('x' * (before + 1)); import os, signal, sys, time\n"
    monkeypatch.setattr(local, "command", lambda *a, **k: [sys.executable, "-c", head + program])
    messages = Messages()
    made = LocalPool(tmp_path, SearchSettings(device="cpu", **settings), messages, storage=None, study="s")
    return made, messages.messages, started


DIES = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_worker_that_is_killed_is_started_again(tmp_path, monkeypatch):
    made, messages, started = pool(tmp_path, monkeypatch, f"if before < 3: {DIES}")
    made.run(lambda: False)
    assert started.read_text() == "xxxx"
    assert sum("died (signal SIGKILL)" in text for text in messages) == 3


def test_an_event_that_a_killed_worker_left_half_written_is_none(tmp_path, monkeypatch):
    half = f"if before < 1: sys.stdout.write({FINISHED[:40]!r}); sys.stdout.flush(); {DIES}"
    made, messages, started = pool(tmp_path, monkeypatch, half)
    made.run(lambda: False)
    assert started.read_text() == "xx"
    assert sum("died (signal SIGKILL)" in text for text in messages) == 1


def test_workers_that_only_die_end_the_search_with_a_diagnosis(tmp_path, monkeypatch):
    made, _, started = pool(tmp_path, monkeypatch, DIES)
    with pytest.raises(ToolkitError, match=r"died 6 times in a row, last by signal SIGKILL; see .*log.*--resume"):
        made.run(lambda: False)
    assert started.read_text() == "x" * 6


def test_what_is_done_meanwhile_may_fail_and_stops_the_workers(tmp_path, monkeypatch):
    made, _, _ = pool(tmp_path, monkeypatch, "import time; time.sleep(60)")

    def fail() -> None:
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        made.run(lambda: False, meanwhile=fail)
    assert not made._processes


def test_what_is_done_meanwhile_is_concluded_even_after_the_last_worker(tmp_path, monkeypatch):
    made, messages, started = pool(tmp_path, monkeypatch, "")
    made.run(lambda: True, meanwhile=lambda: time.sleep(2.0) or (lambda: messages.append("described")))
    assert started.read_text() == "x"
    assert messages == ["described"]


def test_workers_that_are_ready_wait_and_leave_no_trace_where_they_are_not_wanted(tmp_path, monkeypatch):
    made, _, started = pool(tmp_path, monkeypatch, "sys.stdin.readline() and p.write_text('went')")
    made.get_ready()
    time.sleep(2.0)
    assert started.read_text() == "x"
    made.close()
    assert sorted(tmp_path.iterdir()) == [started]
    made.get_ready()
    made.run(lambda: True)
    assert started.read_text() == "went"


def test_a_worker_waits_for_its_order_and_ends_where_none_comes(tmp_path):
    line = process.command(tmp_path, storage=None, study="s", name="w")
    without = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert (without.returncode, without.stdout, without.stderr) == (0, b"", b"")
    sent = subprocess.run(line, input=process.GO.encode(), capture_output=True, timeout=120)
    assert sent.returncode == 2, "it looks for the settings of its search, and there are none"
    assert b"settings.json" in sent.stderr


def test_deaths_between_trials_that_end_never_add_up(tmp_path, monkeypatch):
    made, _, started = pool(tmp_path, monkeypatch, f"print({FINISHED!r}, flush=True)\nif before < 15: {DIES}")
    made.run(lambda: False)
    assert started.read_text() == "x" * 16


@pytest.mark.parametrize(("code", "kind"), [(1, ToolkitError), (2, InputError)])
def test_a_workers_own_error_is_the_searchs_error(tmp_path, monkeypatch, code, kind):
    made, _, _ = pool(tmp_path, monkeypatch, f"print('the disk is full', file=sys.stderr); sys.exit({code})")
    with pytest.raises(kind, match="the disk is full"):
        made.run(lambda: False)


def test_a_worker_that_is_frozen_is_killed_and_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_OWN_END_SECONDS", 0.0)
    made, messages, started = pool(
        tmp_path, monkeypatch, "if before == 0: os.kill(os.getpid(), signal.SIGSTOP)", stall_minutes=0.05
    )
    made.run(lambda: False)
    assert started.read_text() == "xx"
    assert any("made no progress" in text for text in messages)


def test_each_worker_sees_one_of_several_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = [e.get("CUDA_VISIBLE_DEVICES") for e in worker_environments(SearchSettings(workers=3))]
    assert seen == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    seen = [e.get("CUDA_VISIBLE_DEVICES") for e in worker_environments(SearchSettings(workers=3))]
    assert seen == ["5", "GPU-7", "5"]
    assert "5,GPU-7" in {e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(SearchSettings(workers=3, device="cpu"))}


def test_a_process_ends_with_the_search_that_started_it(tmp_path):
    code = "from nas.engine.processes import end_with_parent; import time; end_with_parent(1 << 22); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 1
