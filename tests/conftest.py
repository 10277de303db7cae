"""Every test runs with one thread, so that sums round alike in this process and in the workers that it starts."""

import os
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes that tests start; a plug-in may have loaded torch here already
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Some code under test sets the threads of its process; no other test may be touched by that."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
