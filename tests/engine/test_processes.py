"""Work in processes: results come back, deaths and interruptions end it, each process has a GPU of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.engine import processes
from nas.engine.processes import devices, in_processes
from search_spaces.errors import ToolkitError

_opened: list[str] = []


def remember(text: str) -> None:
    _opened.append(text)


def work(number: int) -> tuple[int, list[str], str | None]:
    return number * number, _opened, os.environ.get("CUDA_VISIBLE_DEVICES")


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_task_is_done_in_an_opened_process() -> None:
    heard = {}
    in_processes(
        [(n,) for n in range(5)], work, lambda task, result, count: heard.update({task[0]: (result[0], result[1], count)}),
        workers=2, device="cpu", opened=remember, arguments=("ready",),
    )  # fmt: skip
    assert {number: found[:2] for number, found in heard.items()} == {n: (n * n, ["ready"]) for n in range(5)}
    assert sorted(found[2] for found in heard.values()) == [1, 2, 3, 4, 5]
    assert _opened == []  # not in this process


def test_each_process_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-7")
    assert devices("cuda", 4) == ["4", "5", "GPU-7", "4"]
    assert devices("cuda", 1) == [None]
    assert devices("cpu", 2) == [None, None]
    seen = set()
    in_processes(
        [(n,) for n in range(2)], work, lambda task, result, count: seen.add(result[2]),
        workers=2, device="cuda", opened=remember, arguments=("",),
    )  # fmt: skip
    assert seen <= {"4", "5"}


def test_a_process_that_dies_ends_it_with_a_remedy() -> None:
    with pytest.raises(ToolkitError, match="--resume and fewer --workers"):
        in_processes([(1,), (2,)], die, print, workers=2, device="cpu", opened=remember, arguments=("",))


def test_an_interruption_stops_the_processes() -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_processes([(0,), (600,), (600,)], _nap, interrupted, workers=2, device="cpu", opened=remember, arguments=("",))
    assert time.monotonic() - started < 120


def _nap(seconds: int) -> None:
    time.sleep(seconds)


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once', flush=True)\n"
        "from operator import neg\n"
        "from nas.engine.processes import in_processes\n"
        "in_processes([(1,), (2,)], neg, lambda task, result, count: print(result), workers=2, device='cpu', opened=print)\n"
    )
    root = Path(processes.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=True,
        env={**os.environ, "PYTHONPATH": str(root)}, cwd=tmp_path,
    )  # fmt: skip
    assert sorted(ran.stdout.split()) == ["-1", "-2", "once"]
