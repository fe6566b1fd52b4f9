"""Tokens per second with drafts and without, and how much of a step is the two models' own.

Rows go on from the middle of traces that a run has: the beginnings of answers are alike, and drafts too good there. One
engine reads them once; the arms then take turns on the same rows: each repetition decodes so many tokens of every row
without drafts and with the length that the engine chooses, in changing order, with new noise. What is compared is the
ratio within a repetition. Not timed: loading, reading, judging.
"""

from __future__ import annotations

import copy
import json
import math
import random
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from common import at
from scipy import stats

from ownwords.engines.decoder import Decoder, Work
from ownwords.engines.engine import Request
from ownwords.engines.pace import Pace
from ownwords.evaluation.intervals import LEVEL, Interval
from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import Prepared, prepare
from ownwords.traces.store import Store

ARMS = {"none": 0, "auto": None}
TRACES = 8
"""of the run, that rows go on from"""


@dataclass
class Spent:
    """One arm of one repetition."""

    seconds: float
    """of all steps"""
    models: float
    """of these, within the forward passes of the two models"""
    work: Work

    @property
    def speed(self) -> float:
        return self.work.tokens / self.seconds


@dataclass(frozen=True)
class Line:
    """An arm over all repetitions."""

    batch: int
    arm: str
    speed: float
    """tokens per second, median"""
    ratio: Interval
    """to the arm without drafts, geometric mean over repetitions"""
    per_block: float
    """tokens that a row gains by one pass of the teacher"""
    kept: float
    """of the drafts that were read ahead, the share that saved a pass; nan without any"""
    added: Interval
    """share of the time outside of the models' passes, mean over repetitions"""


def measure(config: GenerateConfig, batches: list[int], tokens: int, repetitions: int) -> Iterator[Line]:
    """Lines as they come. `config`: of a run that has been made, by two models of one vocabulary; `tokens`: how many
    each row writes per repetition and arm."""
    prepared = prepare(config)
    requests = middles(prepared)
    for batch in batches:
        engine = at(prepared, batch).decoder
        paces = {arm: Pace(length, longest=engine.pace.longest) for arm, length in ARMS.items()}
        spent: dict[str, list[Spent]] = {arm: [] for arm in ARMS}
        for repetition in range(repetitions + 1):
            rows = [
                replace(requests[i % len(requests)], key=("speed", i), max_tokens=tokens)
                for i in range(repetition * batch, (repetition + 1) * batch)
            ]
            for arm in random.Random(repetition).sample([*ARMS], len(ARMS)):
                engine.pace = paces[arm]  # what it has learned is kept, as in a run
                engine.admit(rows, {r.prompts: (r.teacher_prompt, r.student_prompt) for r in requests})
                one = decode(engine, [prepared.engine.teacher.model, prepared.engine.student.model])
                if repetition:  # the first is for warming up
                    spent[arm].append(one)
        for arm in ARMS:
            yield _line(batch, arm, spent)


def middles(prepared: Prepared) -> list[Request]:
    """The first traces of the run up to their middle, as prompts."""
    requests = []
    with Store.read(prepared.config.run) as store:
        for trace in islice(store.traces(), TRACES):
            half = trace.token_ids[: len(trace.token_ids) // 2].tolist()
            theirs, ours = prepared.pair(trace.problem_id, trace.attempt)
            key = trace.problem_id, trace.attempt
            requests.append(Request(key, key, [*theirs, *half], [*ours, *half], 0))
    return requests


def decode(engine: Decoder, models: list[Any]) -> Spent:
    """Every row in the engine writes its tokens."""
    before = copy.copy(engine.work)
    with within(models) as spent:
        started = time.perf_counter()
        while engine.rows:
            engine.step()
        seconds = time.perf_counter() - started
    done = {name: value - getattr(before, name) for name, value in vars(engine.work).items()}
    return Spent(seconds, spent[0], Work(**done))


@contextmanager
def within(models: list[Any]) -> Iterator[list[float]]:
    """[seconds] spent within forward passes of `models`, on a CPU, where a pass is over when it returns."""
    seconds, began = [0.0], [0.0]

    def enter(*_: Any) -> None:
        began[0] = time.perf_counter()

    def leave(*_: Any) -> None:
        seconds[0] += time.perf_counter() - began[0]

    hooks = [model.register_forward_pre_hook(enter) for model in models]
    hooks += [model.register_forward_hook(leave) for model in models]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def _line(batch: int, arm: str, spent: dict[str, list[Spent]]) -> Line:
    logs = [math.log(one.speed / plain.speed) for one, plain in zip(spent[arm], spent["none"], strict=True)]
    ratio = _mean(logs)
    added = _mean([1 - one.models / one.seconds for one in spent[arm]])
    total = Work(*(sum(column) for column in zip(*(vars(one.work).values() for one in spent[arm]), strict=True)))
    ahead = total.draft_steps - total.blocks
    return Line(
        batch=batch,
        arm=arm,
        speed=statistics.median(one.speed for one in spent[arm]),
        ratio=Interval(*(math.exp(x) for x in (ratio.value, ratio.low, ratio.high))),
        per_block=total.tokens / total.blocks,
        kept=(total.tokens - total.blocks) / ahead if ahead else math.nan,
        added=added,
    )


def _mean(values: list[float]) -> Interval:
    """With Student's interval."""
    mean, n = statistics.fmean(values), len(values)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def write(path: Path, told: str, lines: list[Line]) -> None:
    """Keep the figures, with what they were measured on and the peak memory of this process (GiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"told": told, "peak": peak, "lines": [asdict(line) for line in lines]}, indent=1))


def read(path: Path) -> tuple[str, float, list[Line]]:
    """(what it was measured on, peak GiB, the lines)"""
    found = json.loads(path.read_text())
    lines = [
        Line(**{**line, "ratio": Interval(**line["ratio"]), "added": Interval(**line["added"])})
        for line in found["lines"]
    ]
    return found["told"], found["peak"], lines


def threads(number: int) -> None:
    torch.set_num_threads(number)
