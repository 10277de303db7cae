"""The suite runs with one thread, so that sums round alike in this process and in the workers that it starts."""

import os

import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes that tests start; a plug-in may have loaded torch here already
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
torch.set_num_threads(1)
