"""A few of the kills and of the model folders that `benchmarks/faults` tries by the hundred."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "faults"


def test_a_few_kills_and_folders():
    done = subprocess.run(
        [sys.executable, BENCHMARK, "kills", "folders", "--quick"], capture_output=True, text=True, timeout=480
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 4 of 4 held" in done.stdout and "folders: 10 of 10 held" in done.stdout
