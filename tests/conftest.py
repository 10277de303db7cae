"""Set before any test module loads torch: one thread (sums then round alike everywhere), and idle threads sleep."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
