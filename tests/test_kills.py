"""A few of the kills that `benchmarks/faults` tries by the hundred; its folders are all tried in `test_models`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "faults"


def test_a_few_kills():
    done = subprocess.run([sys.executable, BENCHMARK, "kills", "--quick"], capture_output=True, text=True, timeout=480)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 4 of 4 held" in done.stdout
