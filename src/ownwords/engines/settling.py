"""What becomes of a block of drafts: a teacher reads and settles them, or there is none and they stand.

Shapes: B rows in use, D positions of a block, N = D B of them in the order (D, B), V vocabulary, S spelled tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ownwords.engines.engine import Request
from ownwords.engines.lane import Lane, Prefix
from ownwords.engines.products import products
from ownwords.rsd.step import Draft, Rules, Step, alone, soft_of, verify

Spell = Callable[[int], tuple[int, ...]]
"""an id of the student's -> what the teacher's context gets for it, in its own ids"""


class NoTeacher:
    """The student alone: every draft stands."""

    lanes: Sequence[Lane] = ()
    positions = 0

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def admit(self, prefix: Prefix | None, request: Request) -> None:
        pass

    def settle(self, drafted: Draft, u_DB4: torch.Tensor, forced_DB: torch.Tensor) -> Step:
        return alone(drafted)

    def soft(self, drafted: Draft, stands_N: np.ndarray) -> np.ndarray:
        """Soft targets of the positions that stand, (N,)."""
        return soft_of(self.rules, None, drafted, None, stands_N)

    def rewind(self, kept_B: np.ndarray) -> None:
        pass

    def follow(self, row: int, token: int) -> bool:
        """A row goes on with a token; whether there is room to read it."""
        return True

    def release(self, row: int) -> None:
        pass


@dataclass
class Teacher:
    """A teacher that reads ahead: the pending token of every row and all drafts but the last, in one pass."""

    lane: Lane
    rules: Rules
    capacity: int
    """positions that an attempt may use"""
    spell: Spell | None
    """None if both models have the same ids"""
    pending: list[tuple[int, ...]] = field(default_factory=list)
    """per row the last token as the teacher spells it, which it has not read yet"""
    positions: int = 0
    """computed so far, all rows, prompts left out"""

    def __post_init__(self) -> None:
        self.lanes = (self.lane,)
        self._ends_BD = np.empty((0, 0), dtype=int)
        self._logits_NV: torch.Tensor | None = None
        self._spelled_NS: torch.Tensor | None = None

    def admit(self, prefix: Prefix | None, request: Request) -> None:
        assert prefix is not None
        self.lane.admit(prefix, len(request.teacher_prompt) - 1)
        self.pending.append(tuple(request.teacher_prompt[-1:]))

    def settle(self, drafted: Draft, u_DB4: torch.Tensor, forced_DB: torch.Tensor) -> Step:
        token_DB = drafted.token_B.view(forced_DB.shape)
        logits_NV = self._logits_NV = self._read(token_DB)
        self._spelled_NS = products(self.lane, self.rules, logits_NV) if self.rules.spelled else None
        return verify(self.rules, logits_NV, drafted, u_DB4.flatten(0, 1), forced_DB.flatten(), self._spelled_NS)

    def soft(self, drafted: Draft, stands_N: np.ndarray) -> np.ndarray:
        """Soft targets of the positions that stand, (N,)."""
        return soft_of(self.rules, self._logits_NV, drafted, self._spelled_NS, stands_N)

    def rewind(self, kept_B: np.ndarray) -> None:
        """Take back what was read beyond the last kept token of every row."""
        self._logits_NV = self._spelled_NS = None
        void_B = self._ends_BD[:, -1] - self._ends_BD[np.arange(len(kept_B)), kept_B - 1]
        self.lane.rewind([n - void for n, void in zip(self.lane.lengths, void_B.tolist(), strict=True)])

    def follow(self, row: int, token: int) -> bool:
        """A row goes on with a token; False if its spelled tokens have used up the room."""
        self.pending[row] = (token,)
        if self.spell is None:
            return True
        self.pending[row] = self.spell(token)
        return self.lane.lengths[row] + len(self.pending[row]) <= self.capacity

    def release(self, row: int) -> None:
        """Give a row up; the last one takes its place."""
        self.lane.release(row)
        self.pending[row] = self.pending[-1]
        self.pending.pop()

    def _read(self, token_DB: torch.Tensor) -> torch.Tensor:
        """logits_NV of the pending token and all drafts but the last; `_ends_BD` becomes how many of its own ids it
        took the teacher to read up to each position."""
        D, B = token_DB.shape
        if self.spell is None:
            pending_B1 = torch.tensor(self.pending, device=token_DB.device)
            logits_BDV = self.lane.feed(torch.cat([pending_B1, token_DB[:-1].T], dim=1))
            self._ends_BD = np.broadcast_to(np.arange(1, D + 1), (B, D))
        else:
            pieces = [
                [pending, *(self.spell(token) for token in tokens)]
                for pending, tokens in zip(self.pending, token_DB[:-1].T.tolist(), strict=True)
            ]
            self._ends_BD = np.array([np.cumsum([len(piece) for piece in block]) for block in pieces])
            ids_BT = torch.zeros(B, int(self._ends_BD.max()), dtype=torch.long)
            for i, block in enumerate(pieces):
                ids_BT[i, : self._ends_BD[i, -1]] = torch.tensor([id_ for piece in block for id_ in piece])
            start = list(self.lane.lengths)
            logits_BTV = self.lane.feed(ids_BT)
            self.lane.rewind([n + int(read) for n, read in zip(start, self._ends_BD[:, -1], strict=True)])  # padding
            logits_BDV = logits_BTV[torch.arange(B)[:, None], torch.from_numpy(self._ends_BD - 1)]
        self.positions += int(self._ends_BD[:, -1].sum())
        return logits_BDV.transpose(0, 1).flatten(0, 1).to(token_DB.device)
