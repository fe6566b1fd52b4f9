"""What the measurements share: the machine's name, a pair of models ready to decode, and a run of the bare engine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ownwords.engines.decoder import Work
from ownwords.engines.engine import Finished, write_all
from ownwords.engines.lane import Lane
from ownwords.engines.options import LocalOptions
from ownwords.engines.pace import LENGTHS
from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import Prepared, prepare


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
    config = GenerateConfig.of(
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
    """Decode that many attempts, four at each problem in turn as `ownwords generate` does by default; slots that come
    free are taken up at once; nothing is judged or kept."""
    engine = at(prepared, batch, draft_length)
    each, n = prepared.config.budget.attempts, len(prepared.problems)
    todo = [prepared.request(prepared.problems[i // each % n].id, i // (each * n) * each + i % each)
            for i in range(attempts)]  # fmt: skip
    engine.decoder  # its memory is taken before the clock starts  # noqa: B018
    started = time.perf_counter()
    finished = [*write_all(engine, todo)]
    return Run(time.perf_counter() - started, engine.decoder.work, finished)


def at(prepared: Prepared, batch: int, draft_length: int | None = None) -> Any:
    """A local engine with the same models, for so many attempts at once; a draft length of None is chosen."""
    length = "auto" if draft_length is None else draft_length
    job = replace(prepared.job, attempts=max(batch, prepared.job.attempts))
    return prepared.engine.again(job, LocalOptions(batch=batch, draft_length=length))


def milliseconds(work: Callable[[], object], repetitions: int) -> float:
    """Median time of `work`, the first two times left out."""
    times = []
    for _ in range(repetitions + 2):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def filled(model: PreTrainedModel, rows: int, context: int) -> Lane:
    """A lane with that many rows of `context` positions each, and room for a block behind them."""
    lane = Lane(model, rows, context + LENGTHS[-1] + 1)
    prefix = lane.read([[1] * (context + 1)])[0]
    for _ in range(rows):
        lane.admit(prefix, context)
    return lane


def pass_ms(lane: Lane, positions: int, repetitions: int) -> float:
    """Milliseconds of a pass over so many new positions in every row."""
    lengths = list(lane.lengths)
    ids_BT = torch.ones(len(lengths), positions, dtype=torch.long)

    def work() -> None:
        lane.feed(ids_BT)
        lane.rewind(lengths)

    return milliseconds(work, repetitions)


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
