"""Which attempts are worth training on: a pure view on finished traces.

The default is the rule of Reverse Speculative Decoding (arXiv 2509.22230 and its authors' script): correct, one closing
think tag, ended by itself, written by the student for half of its tokens at most; of those the shortest per problem.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ownwords.records.trace import Trace

CLOSED = 3
"""tokens at the end of a prompt among which a template closes the thinking"""
Pick = Literal["shortest", "random", "surprisal", "all"]
PICKED_BECAUSE = {"shortest": "is the shortest", "random": "was drawn", "surprisal": "has the lowest surprisal"}


@dataclass(frozen=True)
class Selection:
    """What a trace must be to be selected."""

    correct: bool = True
    """the verdict is `correct`"""
    closing_tag: bool = True
    """exactly one closing think tag, counted by id, or none if the prompt ends with it; not asked of a student that has
    no such id"""
    ended: bool = True
    """the finish reason is `stop`"""
    max_fallback: float = 0.5
    """the largest share of free tokens that the student may have written, 0 to 1; 1 asks nothing"""
    pick: Pick = "shortest"
    """of the eligible ones per problem: `shortest` (in tokens), `random`, `surprisal` (the lowest mean student
    surprisal), in each case the lower attempt among equals; or `all`"""
    seed: int = 0
    """of the random pick"""

    def __post_init__(self) -> None:
        if not 0 <= self.max_fallback <= 1:
            raise ValueError(f"max_fallback is {self.max_fallback}, expected a share from 0 to 1 (0.5 for 50 %)")
        if self.pick not in (*PICKED_BECAUSE, "all"):
            raise ValueError(f"pick is {self.pick!r}, expected one of {', '.join(PICKED_BECAUSE)}, all")

    def for_gate(self, gate: str) -> Selection:
        """The same for a run with this gate: the student's own rollouts are not asked for their fallback rate."""
        return replace(self, max_fallback=1.0) if gate == "never" else self


def reasons(trace: Trace, selection: Selection, closing_id: int | None) -> list[str]:
    """Why a trace is not eligible; empty where it is. `closing_id`: the student's closing think tag, None if none."""
    found = []
    if selection.correct and trace.verdict != "correct":
        found.append(f"verdict is {trace.verdict}")
    if selection.closing_tag and closing_id is not None:
        tags = int(np.count_nonzero(trace.token_ids == closing_id))
        closed = closing_id in trace.prompt_ids[-CLOSED:]  # by the template, with white space behind at the most
        if tags != (0 if closed else 1):
            found.append(f"{tags} closing think tags")
    if selection.ended and trace.finish_reason != "stop":
        found.append(f"did not end: {trace.finish_reason}")
    if trace.fallback_rate > selection.max_fallback:
        found.append(f"fallback rate {trace.fallback_rate:.3f} is over {selection.max_fallback:g}")
    return found


def length_order(trace: Trace) -> tuple[int, int]:
    """The sort key by which one attempt at a problem is shorter than another: tokens, then attempt."""
    return len(trace.token_ids), trace.attempt


def surprisal(trace: Trace) -> float:
    """Nats: mean of -ln q over the free tokens, q the student's raw probability; infinite for a trace without any."""
    free = trace.free
    return float(trace.surprisal[free].mean(dtype=np.float64)) if free.any() else np.inf


def preference(trace: Trace, selection: Selection) -> tuple[float | str, int]:
    """The sort key of the pick: of the eligible attempts at a problem, the one with the smallest is taken."""
    if selection.pick == "random":
        name = f"{selection.seed}:{trace.problem_id}:{trace.attempt}"
        return hashlib.sha256(name.encode()).hexdigest(), trace.attempt
    return (surprisal(trace), trace.attempt) if selection.pick == "surprisal" else length_order(trace)


def select(traces: Iterable[Trace], selection: Selection, closing_id: int | None) -> list[Trace]:
    """The selected traces, problems in the order of their first eligible trace. Holds no more than it returns."""
    kept: dict[str, list[Trace]] = {}
    for trace in traces:
        if not reasons(trace, selection, closing_id):
            rivals = [*kept.get(trace.problem_id, []), trace]
            if selection.pick != "all":
                rivals = [min(rivals, key=lambda rival: preference(rival, selection))]
            kept[trace.problem_id] = rivals
    return [trace for chosen in kept.values() for trace in chosen]
