"""One pass over a trace set: a few numbers per attempt, and counts that stay as small as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ownwords.engines.stops import loops
from ownwords.records.trace import Trace
from ownwords.reports.source import Source
from ownwords.rsd.columns import TEACHER
from ownwords.traces.summary import IMPLAUSIBLE, Summary, summarise

SURPRISAL_EDGES = np.linspace(0, 20, 201)
"""nats"""
RANK_EDGES = np.unique(np.geomspace(1, 200_000, 80).astype(int))
MASS_EDGES = np.linspace(0, 1, 51)
LOOP_WINDOW = 128
"""An attempt that ran out of tokens is a loop if its last so many repeat themselves; those that the run gave up for it
say so."""


@dataclass(frozen=True)
class Attempt:
    """What the report says of an attempt as a whole. It has no tokens: the attempts of a run are held all at once, and
    their traces, which are read one at a time, would not fit."""

    problem_id: str
    attempt: int
    verdict: str
    finish_reason: str
    tokens: int
    fallback_rate: float
    """0 to 1"""
    surprisal: float
    """nats, mean over the tokens that are not forced; NaN if there are none"""
    implausible: float
    """share of these with a student probability below 1 %"""
    seconds: float
    answer: str
    loops: bool


@dataclass
class Measured:
    """A trace set in numbers. Counts leave forced tokens out, and values that nobody knows (NaN)."""

    source: Source
    attempts: list[Attempt] = field(default_factory=list)
    surprisal_counts: np.ndarray = field(default_factory=lambda: np.zeros(len(SURPRISAL_EDGES), np.int64))
    """tokens from each edge up to the next; the last counts all above"""
    rank_counts: np.ndarray = field(default_factory=lambda: np.zeros(len(RANK_EDGES), np.int64))
    mass_counts: np.ndarray = field(default_factory=lambda: np.zeros(len(MASS_EDGES), np.int64))
    teacher_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """tokens by the teacher at each position of the completion"""
    free_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """tokens that are not forced at each position"""
    summary: Summary = field(init=False)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def speed(self) -> float:
        """Tokens per second of one attempt, the median; NaN where no time is known."""
        speeds = [attempt.tokens / attempt.seconds for attempt in self.attempts if attempt.seconds > 0]
        return float(np.median(speeds)) if speeds else float("nan")

    def verdicts_by_problem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt.problem_id, []).append(attempt.verdict)
        return found


def measure(source: Source) -> Measured:
    """Read all traces of a set once, holding none of them."""
    measured = Measured(source)
    measured.summary = summarise(_watched(source.traces(None), measured))
    return measured


def _watched(traces: Iterable[Trace], measured: Measured) -> Iterator[Trace]:
    for trace in traces:
        _count(trace, measured)
        yield trace


def _count(trace: Trace, measured: Measured) -> None:
    free = trace.free
    surprisal = trace.surprisal[free]
    measured.surprisal_counts += _counts(surprisal, SURPRISAL_EDGES)
    measured.rank_counts += _counts(trace.column("student_rank")[free], RANK_EDGES)
    if trace.pass_mass is not None:
        measured.mass_counts += _counts(trace.pass_mass[free], MASS_EDGES)
    measured.teacher_at = _added(measured.teacher_at, trace.by(TEACHER))
    measured.free_at = _added(measured.free_at, free)
    known = bool(free.any())
    measured.attempts.append(
        Attempt(
            problem_id=trace.problem_id,
            attempt=trace.attempt,
            verdict=trace.verdict,
            finish_reason=trace.finish_reason,
            tokens=len(trace.token_ids),
            fallback_rate=trace.fallback_rate,
            surprisal=float(surprisal.mean(dtype=np.float64)) if known else float("nan"),
            implausible=float((surprisal > -np.log(IMPLAUSIBLE)).mean()) if known else float("nan"),
            seconds=trace.seconds,
            answer=trace.answer,
            loops=trace.finish_reason == "repetition"
            or (trace.finish_reason == "length" and loops(trace.token_ids, LOOP_WINDOW)),
        )
    )


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values lie from each edge up to the next. Infinite ones belong to the last, NaN to none."""
    known = values[~np.isnan(values)]
    where = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 1)
    return np.bincount(where, minlength=len(edges))


def _added(total: np.ndarray, here: np.ndarray) -> np.ndarray:
    longer = np.zeros(max(len(total), len(here)), np.int64)
    longer[: len(total)] += total
    longer[: len(here)] += here
    return longer
