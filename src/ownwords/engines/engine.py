"""What an engine is: it is opened for a job, takes requests, and gives finished attempts back.

A *job* says what all attempts have in common: who writes (a tailored pair, or one model alone), the seed, and when an
attempt ends. A *request* is one attempt: its prompts and its budget, and a key that together with the seed names its
noise, so that a request is small enough for another process or machine. Everything else - weights, devices, slots,
drafts, threads - is the engine's own business.

    engine = open_engine("local", job, options)
    for finished in write_all(engine, requests):
        ...
    engine.close()

Others register an engine of theirs as an entry point of the group `ownwords.engines`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Protocol, Self

import numpy as np
import torch

from ownwords.io.plugins import load_plugin
from ownwords.models.named import Named
from ownwords.models.vocabulary import Alignment, align
from ownwords.rsd.gates import Gate, Never
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.spelled import Spelled
from ownwords.rsd.step import Rules

GROUP = "ownwords.engines"
AHEAD = 32
"""requests whose prompts may be read before their turn, together with others"""


@dataclass(frozen=True)
class Pair:
    """A writer: the teacher proposes, the gate asks the student, and the student writes what it refuses."""

    teacher: Named
    student: Named
    gate: Gate
    proposals: float = 1
    """how often the teacher may propose a token; `math.inf` for no limit"""
    teacher_sampling: Sampling = Sampling()
    student_sampling: Sampling = Sampling()
    gate_sees_shaped: bool = False
    products: bool = False
    """the teacher proposes tokens that it spells with several of its own, too"""

    @cached_property
    def alignment(self) -> Alignment:
        """How the ids of the two belong together. Raises ValueError if they are too different."""
        return align(self.teacher.vocabulary, self.student.vocabulary)

    @property
    def models(self) -> dict[str, Named]:
        return {"teacher": self.teacher, "student": self.student}

    def rules(self, device: torch.device, soft_targets: int = 0) -> Rules:
        """What decides a token, with its tables on a device."""
        alignment = self.alignment.to(device)
        spelled = Spelled.of(alignment.products, device) if self.products and alignment.products else None
        return Rules(
            gate=self.gate, proposals=self.proposals, teacher=self.teacher_sampling, student=self.student_sampling,
            gate_sees_shaped=self.gate_sees_shaped, teacher_of_V=alignment.teacher_of_V, known_V=alignment.known_V,
            teacher_ends=alignment.teacher_ends, end_id=alignment.end_id, spelled=spelled, soft_targets=soft_targets,
        )  # fmt: skip


@dataclass(frozen=True)
class Solo:
    """A writer: one model alone, as in an evaluation. Its tokens are recorded as the student's."""

    student: Named
    student_sampling: Sampling = Sampling()

    @cached_property
    def alignment(self) -> Alignment:
        return align(self.student.vocabulary, self.student.vocabulary)

    @property
    def models(self) -> dict[str, Named]:
        return {"student": self.student}

    def rules(self, device: torch.device, soft_targets: int = 0) -> Rules:
        known_V = self.alignment.to(device).known_V
        return Rules(gate=Never(), student=self.student_sampling, known_V=known_V, soft_targets=soft_targets)


@dataclass(frozen=True)
class Request:
    """An attempt to be made."""

    key: tuple[str, int]
    """problem id and number of the attempt; with the job's seed it names the noise (`ownwords.rsd.noise`)"""
    prompts: Hashable
    """requests with an equal value here have equal prompts, which need to be read only once"""
    teacher_prompt: Sequence[int]
    """in the teacher's ids; empty if there is none"""
    student_prompt: Sequence[int]
    max_tokens: int
    """the most tokens that may be written, the forced ones included; an engine may have to stop earlier where a model
    reads no further"""
    forced: Sequence[int] = ()
    """ids with which the completion begins, whatever the models say"""

    @property
    def longest_prompt(self) -> int:
        return max(len(self.teacher_prompt), len(self.student_prompt))


@dataclass(frozen=True)
class Finished:
    """An attempt that has ended."""

    key: tuple[str, int]
    columns: dict[str, np.ndarray]
    """the per-token columns of `ownwords.rsd.columns.COLUMNS`, equal lengths, and `soft` if the job wants soft
    targets"""
    finish_reason: str
    """`stop`, `length`, `repetition` or `fallback`"""
    seconds: float
    """from submission to the last token"""


@dataclass(frozen=True)
class Job:
    """What all attempts of a run have in common."""

    writer: Pair | Solo
    seed: int
    longest: Request
    """the request that needs the most room"""
    attempts: int
    """the most that can be asked for; no engine needs more slots"""
    max_fallback: float = 1.0
    """give an attempt up when the student has written too many tokens for its share to come back under this"""
    repetition_window: int = 256
    """give an attempt up when its last N tokens repeat themselves; 0 for never"""
    soft_targets: int = 0
    """keep this many of each model's likeliest ids per token"""


@dataclass(frozen=True)
class InFlight:
    """What an attempt has written so far; views of the engine's own columns, which are not to be kept."""

    key: tuple[str, int]
    token_ids: np.ndarray
    source: np.ndarray

    def by(self, source: int) -> int:
        """Tokens that came from there."""
        return int(np.count_nonzero(self.source == source))


@dataclass(frozen=True)
class Load:
    """What an engine has done and has in hand, for whoever shows progress."""

    tokens: int
    """written since it was opened"""
    prompts: int
    """read since it was opened"""
    flying: Sequence[InFlight] = ()


@dataclass(frozen=True)
class Description:
    """What an engine says of itself before the first token."""

    slots: int
    """attempts that it writes at once, at most"""
    positions: int | None = None
    """of a slot; None if there is no such number"""
    models: dict[str, str] = field(default_factory=dict)
    """role -> size, type and place of its weights, in words"""
    record: dict[str, Any] = field(default_factory=dict)
    """what the run's record keeps: fingerprints of weights (`student_weights`, ...) and their types"""


class Engine(Protocol):
    """Writes attempts."""

    @classmethod
    def open(cls, job: Job, options: Any) -> Self:
        """Load and check whatever the job needs. Raises ValueError if it cannot be done."""
        ...

    def again(self, job: Job) -> Self:
        """The same models for another job, of another gate, seed or budget that is no larger; nothing is loaded."""
        ...

    def describe(self) -> Description: ...

    @property
    def exact(self) -> bool:
        """The same seed gives the same traces, whatever else is in flight."""
        ...

    @property
    def room(self) -> int:
        """Requests that may be submitted now."""
        ...

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        """Take up requests, at most `room` of them. `coming`: those that are likely next, whose prompts may be read
        along."""
        ...

    def poll(self) -> list[Finished]:
        """Attempts that have ended since. Works or waits for a moment, and not until something ends."""
        ...

    def load(self) -> Load: ...

    def close(self) -> None:
        """Give up what is in flight and free its memory."""
        ...


def open_engine(name: str, job: Job, options: Any) -> Engine:
    """Open the engine that is registered under a name. Raises ValueError for an unknown one, or if it cannot do it."""
    engine: Engine = load_plugin(GROUP, name, "engine").open(job, options)
    return engine


def write_all(engine: Engine, requests: Iterable[Request]) -> Iterator[Finished]:
    """Have an engine write attempts, as many at once as it has room for; they come as they end."""
    rest, coming, in_flight = iter(requests), deque[Request](), 0
    while True:
        coming.extend(islice(rest, max(0, engine.room + AHEAD - len(coming))))
        taken = [coming.popleft() for _ in range(min(engine.room, len(coming)))]
        if taken:
            engine.submit(taken, coming)
        elif not in_flight:
            return
        ended = engine.poll()
        in_flight += len(taken) - len(ended)
        yield from ended
