"""What the teacher wanted to say and was refused, and what the student wrote instead, by kind and by token.

At a token that the student wrote, the likeliest proposal that the gate refuses stands for what was refused: which one
was drawn is not recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.suitability.kinds import KINDS, SPECIAL, kind_behind

CONTEXT = 40
"""letters before a refused token that its kind is told from"""

Pieces = Callable[[Iterable[int]], list[str]]


class Refusals:
    """Counts over the traces of a run."""

    def __init__(self) -> None:
        self.accepted: Counter[int] = Counter()
        """kind -> the teacher's tokens of that kind"""
        self.refused: Counter[int] = Counter()
        self.kinds: Counter[tuple[int, int]] = Counter()
        """(kind refused, kind written)"""
        self.tokens: Counter[tuple[str, str]] = Counter()

    def add(self, tokens: Tokens, text: list[str], kind_T: np.ndarray, pieces: Pieces, special: np.ndarray) -> None:
        """`text`: the pieces of the tokens; `kind_T`: their kinds."""
        refused_id = tokens.column("refused_id")
        self.accepted.update(kind_T[tokens.by(TEACHER)].tolist())
        for at in np.flatnonzero(tokens.by(STUDENT) & (refused_id >= 0)).tolist():
            (refused,) = pieces([refused_id[at]])
            before = "".join(text[max(0, at - CONTEXT) : at])[-CONTEXT:]
            kind = SPECIAL if refused_id[at] in special else kind_behind(before, refused)
            self.refused[kind] += 1
            self.kinds[kind, int(kind_T[at])] += 1
            self.tokens[refused, text[at]] += 1

    def by_kind(self) -> list[dict[str, Any]]:
        """Per kind of what the teacher wanted to say: how often it was refused."""
        total = max(self.refused.total(), 1)
        return [
            {
                "": KINDS[kind],
                "refused": self.refused[kind],
                "share of refusals": self.refused[kind] / total,
                "accepted": self.accepted[kind],
                "refusal rate": self.refused[kind] / (self.refused[kind] + self.accepted[kind]),
            }
            for kind in range(len(KINDS))
            if self.refused[kind] + self.accepted[kind]
        ]

    def instead(self) -> list[dict[str, Any]]:
        """Kinds refused and written, the most frequent pairs first."""
        return [
            {"refused": KINDS[one], "written": KINDS[other], "times": times}
            for (one, other), times in self.kinds.most_common()
        ]

    def pairs(self, most: int) -> list[dict[str, Any]]:
        """Tokens refused and written, the most frequent pairs."""
        return [
            {"refused": one, "written": other, "times": times} for (one, other), times in self.tokens.most_common(most)
        ]
