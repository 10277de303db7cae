"""Memory that a training step frees stays with the process, so that the next step need not ask the system for it again.

Left alone, glibc hands the pages of freed activations back after every few layers and faults them in again, zeroed, a moment
later: for small networks that is up to a quarter of a step's time on a CPU.
"""

from __future__ import annotations

import ctypes
from functools import cache

MIB = 2**20
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's <malloc.h>
_LARGEST_MMAP_THRESHOLD = 32 * MIB  # glibc refuses more on 64-bit systems
_KEPT = 1024 * MIB  # freed memory at the top of the heap beyond this goes back to the system


@cache
def keep_freed_memory() -> bool:
    """Tell the C library once a process; whether it listened (only glibc has the switch, elsewhere nothing changes)."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    options = {_M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _M_TRIM_THRESHOLD: _KEPT, _M_TOP_PAD: 64 * MIB}
    return all([library.mallopt(option, value) == 1 for option, value in options.items()])  # noqa: C419  # sets every one
