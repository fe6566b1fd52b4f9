"""What the measurements share: the machine's name, a pair of models ready to decode, and a run of the bare engine."""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ownwords.engines.local import Finished, LocalEngine, Work
from ownwords.generation.config import GenerateConfig
from ownwords.generation.run import Prepared, _request, prepare


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{len(names)} cores of {names[0]}" if names else cpu
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}{gpu}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def pair(teacher: str = "world", student: str = "world", size: int = 64, **settings) -> Prepared:
    """A teacher and a student with `size` held-out problems, nothing written to disk."""
    config = GenerateConfig(
        run=Path("unused"), problems=f"world:size={size},seed=77", teacher=teacher, student=student, **settings
    )
    return prepare(config)


@dataclass(frozen=True)
class Run:
    """A measured run of the engine."""

    seconds: float
    work: Work
    finished: list[Finished]

    @property
    def speed(self) -> float:
        """tokens per second"""
        return self.work.tokens / self.seconds


def decode(prepared: Prepared, batch: int, draft_length: int | None, attempts: int) -> Run:
    """Decode that many attempts, the problems in turn, refilling slots as they come free; nothing is judged or kept."""
    engine = LocalEngine(
        prepared.teacher.model, prepared.student.model, prepared.rules, prepared.stops,
        batch, prepared.capacity, draft_length,
    )  # fmt: skip
    n = len(prepared.problems)
    todo = [_request(prepared, prepared.problems[i % n], i // n) for i in range(attempts)][::-1]
    finished: list[Finished] = []
    started = time.perf_counter()
    while todo or engine.rows:
        if todo and engine.free:
            engine.admit([todo.pop() for _ in range(min(engine.free, len(todo)))])
        finished += engine.step()
    return Run(time.perf_counter() - started, engine.work, finished)


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
