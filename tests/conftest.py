"""Set before any test module loads torch: idle OpenMP threads sleep, so that other work on the machine does not slow the suite."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
