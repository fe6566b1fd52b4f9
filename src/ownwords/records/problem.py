"""One problem: what is asked, and what a right answer is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A question with its reference answer."""

    question: str
    answer: str
    """the reference answer, as short as the source gives it (`18`, not the worked solution)"""
    kind: str = "math"
    """how an answer is judged: `math` (numbers, formulas, words), `choice` (a letter), `gym:TASK` (its own scorer), or
    what another package has registered (`ownwords.answers.kind`)"""
    source: str = ""
    """where it comes from: a file name, `gym:TASK`, ..."""
    solution: str = ""
    """a worked solution, where the source has one"""
    metadata: dict[str, Any] = field(default_factory=dict)
    """what the scorer needs besides the answer; JSON values only"""

    @property
    def id(self) -> str:
        """Content hash of the question: 16 hexadecimal digits, the same wherever the problem is read from."""
        return hashlib.sha256(self.question.encode()).hexdigest()[:16]
