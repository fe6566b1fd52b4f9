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
        if self.repetition_window and written % LOOK_EVERY == 0 and self._loops(token_ids[forced:written]):
            return "repetition"
        return None

    def _loops(self, ids: np.ndarray) -> bool:
        window = ids[-self.repetition_window :]
        if len(window) < self.repetition_window:
            return False
        # A loop of period n makes the window equal to itself shifted by n; its last token tells which n can be.
        for period in len(window) - 1 - np.flatnonzero(window[:-1] == window[-1])[::-1]:
            if period > len(window) // 4:
                return False
            if np.array_equal(window[period:], window[:-period]):
                return True
        return False
