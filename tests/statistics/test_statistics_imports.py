"""The statistics stand on numpy and scipy alone: the report and the command line import them without torch."""

import subprocess
import sys


def test_no_torch():
    code = "import sys, nas.statistics; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
