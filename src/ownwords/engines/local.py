"""The local engine: teacher and student in one process, many attempts decoded together.

It knows nothing of problems or files. It is given requests (two prompts and the noise of an attempt), holds as many
as it has slots for, and `step()` writes one token of each; a row that ends frees its slot for the next request.

Shapes: B rows in use, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from ownwords.engines.lane import Lane, Prefix
from ownwords.engines.stops import Stops
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.rsd.step import Rules, Step, decide


@dataclass(frozen=True)
class Request:
    """An attempt to be made."""

    key: Hashable
    """the caller's name for it"""
    prompts: Hashable
    """requests with an equal value here have equal prompts, which are then read once"""
    teacher_prompt: Sequence[int]
    student_prompt: Sequence[int]
    noise: np.ndarray
    """u_T4, see `ownwords.rsd.noise`; T is the most tokens that may be written"""
    forced: Sequence[int] = ()
    """ids with which the completion begins, whatever the models say"""


@dataclass(frozen=True)
class Finished:
    """An attempt that has ended."""

    key: Hashable
    columns: dict[str, np.ndarray]
    """the per-token columns of `COLUMNS`, equal lengths"""
    finish_reason: str
    seconds: float
    """from admission to the last token"""


@dataclass
class _Row:
    request: Request
    started: float
    written: int = 0
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    fallbacks: int = 0


class LocalEngine:
    """Decodes RSD for rows of any progress. Both models share the student's vocabulary of ids.

    `slots` rows of at most `capacity` positions each; see `plan_slots` for how many fit.
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        student: PreTrainedModel,
        rules: Rules,
        stops: Stops,
        slots: int,
        capacity: int,
    ):
        self.teacher, self.student = Lane(teacher, slots, capacity), Lane(student, slots, capacity)
        self.rules, self.stops, self.slots, self.capacity = rules, stops, slots, capacity
        self.rows: list[_Row] = []
        self.prefixes: dict[Hashable, tuple[Prefix, Prefix]] = {}
        self.tokens_written = 0

    @property
    def free(self) -> int:
        return self.slots - len(self.rows)

    def admit(self, requests: Sequence[Request], keep: Sequence[Hashable] = ()) -> None:
        """Take up requests, at most `free` of them. `keep` names prompts that later requests will want again."""
        assert len(requests) <= self.free
        new = {r.prompts: r for r in requests if r.prompts not in self.prefixes}
        if new:
            teacher = self.teacher.read([list(r.teacher_prompt) for r in new.values()])
            student = self.student.read([list(r.student_prompt) for r in new.values()])
            self.prefixes.update(zip(new, zip(teacher, student, strict=True), strict=True))
        for request in requests:
            assert len(request.forced) < len(request.noise)
            longest = max(len(request.teacher_prompt), len(request.student_prompt)) + len(request.noise)
            assert longest <= self.capacity + 1, f"{longest} positions, a slot has {self.capacity}"
            teacher_prefix, student_prefix = self.prefixes[request.prompts]
            self.teacher.admit(teacher_prefix, len(request.teacher_prompt) - 1)
            self.student.admit(student_prefix, len(request.student_prompt) - 1)
            columns = {name: np.zeros(len(request.noise), dtype) for name, dtype in COLUMNS.items()}
            self.rows.append(_Row(request, time.monotonic(), columns=columns))
        wanted = set(keep)
        self.prefixes = {name: prefix for name, prefix in self.prefixes.items() if name in wanted}

    def step(self) -> list[Finished]:
        """Write one token of every row in use; returns the attempts that this ended."""
        if not self.rows:
            return []
        teacher_last = torch.tensor([[self._last(row, row.request.teacher_prompt)] for row in self.rows])
        student_last = torch.tensor([[self._last(row, row.request.student_prompt)] for row in self.rows])
        student_logits_BV = self.student.feed(student_last)[:, -1]
        teacher_logits_BV = self.teacher.feed(teacher_last)[:, -1].to(student_logits_BV.device)
        u_B4 = torch.from_numpy(np.stack([row.request.noise[row.written] for row in self.rows]))
        forced_B = torch.tensor([self._forced(row) for row in self.rows])
        device = student_logits_BV.device
        with torch.inference_mode():
            step = decide(self.rules, teacher_logits_BV, student_logits_BV, u_B4.to(device), forced_B.to(device))
        return self._record(step, forced_B.numpy())

    def _last(self, row: _Row, prompt: Sequence[int]) -> int:
        return int(row.columns["token_ids"][row.written - 1]) if row.written else prompt[-1]

    def _forced(self, row: _Row) -> int:
        return row.request.forced[row.written] if row.written < len(row.request.forced) else -1

    def _record(self, step: Step, forced_B: np.ndarray) -> list[Finished]:
        # One transfer for all columns. Ids and ranks stay exact in float64.
        names = (
            "token",
            "teacher_logprob",
            "student_logprob",
            "student_rank",
            "pass_mass",
            "refused_id",
            "refused_prob",
        )
        packed = (
            torch.stack([getattr(step, name).double() for name in names] + [step.teacher_spoke.double()]).cpu().numpy()
        )
        values = dict(zip(names, packed[:-1], strict=True))
        values["token_ids"] = values.pop("token")
        values["source"] = np.where(forced_B >= 0, FORCED, np.where(packed[-1] > 0, TEACHER, STUDENT))
        finished = []
        for i in reversed(range(len(self.rows))):
            row = self.rows[i]
            for name, value_B in values.items():
                row.columns[name][row.written] = value_B[i]
            row.written += 1
            row.fallbacks += int(values["source"][i] == STUDENT)
            reason = self.stops.reason(row.columns["token_ids"], row.written, row.fallbacks, len(row.request.forced))
            if reason:
                finished.append(self._finish(i, reason))
        self.tokens_written += len(values["source"])
        return finished

    def _finish(self, i: int, reason: str) -> Finished:
        row = self.rows[i]
        self.teacher.release(i)
        self.student.release(i)
        self.rows[i] = self.rows[-1]
        self.rows.pop()
        columns = {name: column[: row.written].copy() for name, column in row.columns.items()}
        return Finished(row.request.key, columns, reason, time.monotonic() - row.started)
