"""What other work there is on the machine, and how much of it is ours to use."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path, PurePosixPath

READING = 0.5
"""seconds between two readings, at least"""
FIRST = 0.2
"""seconds before the first one"""


class Load:
    """Cores that other processes take, of those that this one may run on. Nothing is known where there is no
    /proc/stat. Niced processes do not count: they take what is left."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self.stat = stat
        self.last = self._read()

    def others(self, least: float = READING) -> float | None:
        """The mean since the last reading; None within `least` seconds of it, or if it cannot be known."""
        if self.last is None or time.monotonic() - self.last[0] < least:
            return None
        before, self.last = self.last, self._read()
        if self.last is None:
            return None
        seconds, busy, own = (new - old for new, old in zip(self.last, before, strict=True))
        return max(0.0, (busy - own) / seconds)

    def _read(self) -> tuple[float, float, float] | None:
        """(seconds, CPU seconds of all, CPU seconds of this process)."""
        try:
            cores = os.sched_getaffinity(0)
            lines = [line.split() for line in self.stat.read_text().splitlines() if line.startswith("cpu")]
            tick = 1 / os.sysconf("SC_CLK_TCK")
            niced = os.nice(0) > 0  # then so are we
        except (OSError, AttributeError):
            return None
        busy = 0
        for name, user, nice, system, _idle, _iowait, irq, softirq, steal, *_ in lines:
            if name[3:].isdigit() and int(name[3:]) in cores:
                busy += int(user) + int(system) + int(irq) + int(softirq) + int(steal) + niced * int(nice)
        return time.monotonic(), busy * tick, time.process_time()


def quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores that a container may use, 1 at least; `inf` if nothing is said. A group's groups may say less."""
    said = [math.inf]
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return math.inf
    for number, controllers, path in lines:
        inside = PurePosixPath(path.lstrip("/"))
        for folder in (inside, *inside.parents):
            if number == "0":  # version 2
                said.append(_quota(groups / folder / "cpu.max"))
            elif "cpu" in controllers.split(","):
                named = groups / controllers / folder
                said.append(_quota(named / "cpu.cfs_quota_us", named / "cpu.cfs_period_us"))
    return max(1.0, min(said))


def _quota(*files: Path) -> float:
    """Quota over period, which stand in one file or in two; without a limit it is `max`, or negative."""
    try:
        limit, period = " ".join(file.read_text() for file in files).split()
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
