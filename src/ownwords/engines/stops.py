"""When an attempt ends, and why: it has said so, or it cannot succeed any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOOK_EVERY = 16
"""Loops are looked for every so many tokens: looking costs more than writing a few tokens too many."""


@dataclass(frozen=True)
class Stops:
    """The rules, in the order in which they are asked."""

    end_ids: frozenset[int]
    """`stop`: the attempt has ended its turn"""
    max_fallback: float = 1.0
    """`fallback`: so many tokens are the student's that the share at the end will be above this, even if the teacher
    writes all the rest; 1 for never"""
    repetition_window: int = 256
    """`repetition`: the last so many tokens repeat themselves at least four times over; 0 for never"""

    def reason(self, token_ids: np.ndarray, written: int, fallbacks: int, forced: int) -> str | None:
        """Why an attempt ends after `written` tokens, None while it goes on. `token_ids` has room for its whole
        budget; `length` means that this is used up."""
        if written <= forced:
            return None
        if int(token_ids[written - 1]) in self.end_ids:
            return "stop"
        if written == len(token_ids):
            return "length"
        if fallbacks > self.max_fallback * (len(token_ids) - forced):
            return "fallback"
        if self.repetition_window and written % LOOK_EVERY == 0:
            if loops(token_ids[forced:written], self.repetition_window):
                return "repetition"
        return None


def loops(ids: np.ndarray, window: int) -> bool:
    """Whether the last `window` ids repeat themselves at least four times over; False if there are fewer."""
    last = ids[-window:]
    if len(last) < window:
        return False
    # A loop of period n makes the window equal to itself shifted by n; its last token tells which n can be.
    for period in len(last) - 1 - np.flatnonzero(last[:-1] == last[-1])[::-1]:
        if period > len(last) // 4:
            return False
        if np.array_equal(last[period:], last[:-period]):
            return True
    return False
