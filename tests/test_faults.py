"""Faults around the program, a few of each kind that `benchmarks/faults` tries by the hundred, and what help says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "faults"


def test_a_few_of_every_kind():
    kinds = ("databases", "paths", "disks", "interrupts")
    done = subprocess.run(
        [sys.executable, BENCHMARK, *kinds, "--quick"], capture_output=True, text=True, timeout=480
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{kind}: " in done.stdout for kind in kinds)
