"""Freed memory is used again without new page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nas.evaluation.memory import keep_freed_memory

_PROBE = """
import ctypes, resource, sys
from nas.evaluation.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def use():
    blocks = [library.malloc(8 << 20) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 8 << 20)
    for block in blocks:
        library.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROBE, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_freed_blocks_are_not_faulted_in_again() -> None:
    """64 MiB are 16,384 pages of 4 KiB: all of them fault again by default, hardly any once memory is kept."""
    assert faults("kept") < 200 < faults("left alone")
