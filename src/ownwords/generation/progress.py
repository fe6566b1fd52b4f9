"""What is told of a run while it goes on, and how much of it is left.

What is left is reckoned in tokens, since attempts may take minutes or hours each. The lengths seen so far say how long
an attempt becomes: those of attempts that have ended, and of those in flight that they are longer than what is written
(Kaplan and Meier 1958). Beyond the longest of all they end at a constant rate: that of the tokens beyond the shortest.
So before any attempt has ended the estimate is the most that can be, and comes down as they end.

Shapes: T tokens that an attempt may have, A attempts in flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ownwords.engines.engine import InFlight
from ownwords.rsd.columns import STUDENT, TEACHER

GRID = 512
"""places at which the longest of several attempts is reckoned with"""
NIL = 1e-6
"""a share of attempts that is none"""


@dataclass
class Progress:
    """What is told while a run goes on."""

    made: int
    left: int
    """attempts; an upper bound if `bound`"""
    solved: int
    problems: int
    most: int
    """tokens that an attempt may have"""
    bound: bool = False
    """how many attempts will be made depends on verdicts"""
    doing: str = ""
    """what comes before the next block of tokens, if it may take long"""
    tokens: int = 0
    """written by this start"""
    teacher_tokens: int = 0
    student_tokens: int = 0
    """of the attempts that this start has ended"""
    started: int = 0
    """attempts taken up by this start"""
    prompts: int = 0
    """read by this start"""
    written: int = 0
    """tokens of the attempts in flight: the load of the next block"""
    waiting: int = 0
    """attempts that are left and not begun"""
    flying: Sequence[InFlight] = ()
    ended: Sequence[InFlight] = ()
    """in the last block"""
    lengths: list[int] = field(default_factory=list)
    """tokens of the attempts that have ended in this start"""

    @property
    def rows(self) -> int:
        """Attempts in flight."""
        return len(self.flying)

    @property
    def acceptance(self) -> float | None:
        """The teacher's share of the tokens of this start, those in flight included; None if it wrote none."""
        teacher = self.teacher_tokens + sum(one.by(TEACHER) for one in self.flying)
        student = self.student_tokens + sum(one.by(STUDENT) for one in self.flying)
        return teacher / (teacher + student) if teacher else None


def survival(lengths: Sequence[int], flying: Sequence[int], most: int) -> np.ndarray:
    """S_T: the share of attempts that have more than 0, 1, ..., most - 1 tokens. `lengths`: of attempts that have
    ended; `flying`: what the others have written so far."""
    ended_T = np.bincount(np.minimum(lengths, most), minlength=most + 1) if len(lengths) else np.zeros(most + 1)
    flying_T = np.bincount(np.minimum(flying, most), minlength=most + 1) if len(flying) else np.zeros(most + 1)
    at_risk_T = np.cumsum((ended_T + flying_T)[::-1])[::-1]
    first = min(lengths, default=most)
    beyond = (np.arange(most + 1) - first).clip(min=0) @ (ended_T + flying_T)
    rate = (ended_T.sum() - 1) / beyond if beyond else 0.0
    ends_T = np.where(at_risk_T > 0, ended_T / np.maximum(at_risk_T, 1), rate)
    return np.cumprod(1 - ends_T)[:most]


def remaining(lengths: Sequence[int], flying: Sequence[int], waiting: int, rows: int, most: int) -> tuple[float, bool]:
    """(steps, bound): how many tokens the row with the most to do has still to write, if `rows` attempts are in flight
    at once and `waiting` are not begun; and whether this is an upper bound, as the middle length is not known yet."""
    if not flying and not waiting:
        return 0.0, False
    share_T = survival(lengths, flying, most)
    rest_T = np.cumsum(share_T[::-1])[::-1] / np.maximum(share_T, NIL)  # tokens to come after 0, 1, ...
    at_A = np.minimum(np.asarray(flying, dtype=int), most - 1)
    seen = max([*lengths, *flying], default=0)
    bound = seen == 0 or bool(share_T[min(seen, most - 1)] > 0.5)
    if not waiting:
        return _longest(share_T, at_A), bound
    steps = (rest_T[at_A].sum() + waiting * rest_T[0]) / rows
    # When none waits any more, the rows are anywhere in their attempts, and the last of them makes the end.
    anywhere_T = np.cumsum(share_T[::-1])[::-1] / share_T.sum()
    late = (1 - (1 - anywhere_T) ** rows).sum() - anywhere_T.sum()
    return float(steps + late), bound


def _longest(share_T: np.ndarray, at_A: np.ndarray) -> float:
    """The mean of the most tokens that any of the attempts in flight has still to write."""
    reach = max(1, int((share_T > NIL).sum()) - int(at_A.min()))
    stride = -(-reach // GRID)
    later_G = np.arange(0, reach, stride)
    padded = np.append(share_T, 0.0)
    beyond_AG = padded[np.minimum(at_A[:, None] + later_G, len(share_T))] / np.maximum(share_T[at_A], NIL)[:, None]
    return float((1 - (1 - np.minimum(beyond_AG, 1)).prod(0)).sum() * stride)
