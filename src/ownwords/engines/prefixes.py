"""Prompts that have been read: their keys and values, once for all attempts that begin with them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ownwords.engines.lane import Lane, Prefix

ALONG = 1024
"""tokens: where a prompt must be read, those of the next requests are read in the same pass, up to so many together,
since a short pass costs nearly as much as a longer one"""

TwoPrompts = tuple[Sequence[int], Sequence[int]]
"""a prompt as the teacher reads it, and as the student does"""


@dataclass
class Prefixes:
    """The prompts of a pair of models (or of a student alone), by name."""

    teacher: Lane | None
    student: Lane
    held: dict[Hashable, tuple[Prefix | None, Prefix]] = field(default_factory=dict)

    def read(self, needed: Mapping[Hashable, TwoPrompts], coming: Mapping[Hashable, TwoPrompts]) -> int:
        """Have all `needed` prompts, and only those of `coming` besides. Where some must be read now, some of the
        coming ones, the next first, are read along. Returns how many were read."""
        self.held = {name: held for name, held in self.held.items() if name in needed or name in coming}
        new = {name: pair for name, pair in needed.items() if name not in self.held}
        if not new:
            return 0
        tokens = sum(max(map(len, pair)) for pair in new.values())
        for name, pair in coming.items():
            if name not in self.held and name not in new:
                tokens += max(map(len, pair))
                if tokens > ALONG:
                    break
                new[name] = pair
        student = self.student.read([list(ours) for _, ours in new.values()])
        teacher: Sequence[Prefix | None] = [None] * len(new)
        if self.teacher:
            teacher = self.teacher.read([list(theirs) for theirs, _ in new.values()])
        self.held.update(zip(new, zip(teacher, student, strict=True), strict=True))
        return len(new)
