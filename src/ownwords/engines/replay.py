"""A finished run, given out again at a chosen pace: for trying stores, reports and schedulers without a model.

`--engine replay --engine-options.run runs/before --engine-options.pace 500` writes what `runs/before` holds, every
attempt in flight at 500 tokens a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ownwords.engines.engine import Description, Finished, InFlight, Job, Load, Request
from ownwords.records.trace import Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.traces.store import Store

OPTIONS = {"run": "the run directory to give out", "pace": "tokens per second of an attempt", "slots": "at once"}
NAP = 0.05
"""seconds that `poll` waits at most"""


@dataclass(frozen=True)
class _Row:
    request: Request
    trace: Trace
    started: float


class ReplayEngine:
    """See `ownwords.engines.engine.Engine`. `pace`: tokens per second of every attempt; None for all at once."""

    exact = True

    def __init__(self, job: Job, run: Path, pace: float | None = None, slots: int = 64) -> None:
        self.job, self.run, self.pace, self.slots = job, run, pace, slots
        self.rows: list[_Row] = []
        self.tokens = self.prompts = 0
        with Store.read(run) as store:
            kept = ("teacher_weights", "student_weights", "teacher_dtype", "student_dtype")
            self.record = {name: store.config[name] for name in kept if name in store.config}

    @classmethod
    def open(cls, job: Job, options: Mapping[str, Any]) -> Self:
        """Raises ValueError for unknown options, or a run that cannot be read."""
        if unknown := sorted(options.keys() - OPTIONS.keys()):
            known = "; ".join(f"{name}: {what}" for name, what in OPTIONS.items())
            raise ValueError(f"the engine replay has no option {unknown[0]!r}, expected some of {known}")
        if "run" not in options:
            raise ValueError("the engine replay needs the option run: the run directory to give out")
        try:
            pace = float(options["pace"]) if "pace" in options else None
            slots = int(options.get("slots", 64))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the options pace and slots of the engine replay are numbers: {error}") from None
        if slots < 1 or (pace is not None and not 0 < pace < float("inf")):
            raise ValueError(f"pace is {pace} and slots is {slots}, expected numbers above 0")
        return cls(job, Path(options["run"]), pace, slots)

    def again(self, job: Job) -> Self:
        return type(self)(job, self.run, self.pace, self.slots)

    def describe(self) -> Description:
        models = {role: f"as in {self.run}" for role in self.job.writer.models}
        return Description(self.slots, None, models, self.record)

    @property
    def room(self) -> int:
        return self.slots - len(self.rows)

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        """Raises ValueError for an attempt that the run lacks, or that it made of another prompt."""
        wanted = {request.key: request for request in requests}
        with Store.read(self.run) as store:
            for problem_id in dict.fromkeys(request.key[0] for request in requests):
                for trace in store.traces(problem_id, soft=self.job.soft_targets > 0):
                    if request := wanted.pop((problem_id, trace.attempt), None):
                        if list(request.student_prompt) != trace.prompt_ids.tolist():
                            raise ValueError(f"{self.run} has read another prompt at problem {problem_id}")
                        self.rows.append(_Row(request, trace, time.monotonic()))
        if wanted:
            (problem_id, attempt), *_ = wanted
            raise ValueError(
                f"{self.run} has no attempt {attempt} at problem {problem_id}: expected a run that has made all that "
                "this one wants"
            )
        self.prompts += len({request.prompts for request in requests})

    def poll(self) -> list[Finished]:
        """What has ended by now; waits for a moment if nothing has."""
        if self.rows and self.pace is not None:
            rest = min(len(row.trace.token_ids) - self._written(row) for row in self.rows)
            time.sleep(min(NAP, rest / self.pace))
        ended: list[_Row] = []
        flying: list[_Row] = []
        for row in self.rows:
            (ended if self._written(row) == len(row.trace.token_ids) else flying).append(row)
        self.rows = flying
        self.tokens += sum(len(row.trace.token_ids) for row in ended)
        return [self._finished(row) for row in ended]

    def load(self) -> Load:
        flying = []
        for row in self.rows:
            n = self._written(row)
            flying.append(InFlight(row.request.key, row.trace.token_ids[:n], row.trace.column("source")[:n]))
        return Load(self.tokens + sum(len(one.token_ids) for one in flying), self.prompts, flying)

    def close(self) -> None:
        self.rows.clear()

    def _written(self, row: _Row) -> int:
        whole = len(row.trace.token_ids)
        return whole if self.pace is None else min(whole, int(self.pace * (time.monotonic() - row.started)))

    def _finished(self, row: _Row) -> Finished:
        columns = {name: row.trace.column(name) for name in COLUMNS}
        if row.trace.soft is not None:
            columns["soft"] = row.trace.soft
        return Finished(row.request.key, columns, row.trace.finish_reason, time.monotonic() - row.started)
