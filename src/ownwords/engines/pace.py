"""How far the student drafts ahead: the choice that gives the most tokens per second, learned while running.

With keep rate k a block of D positions gives (1 - k^D) / (1 - k) tokens per row on average, and costs about
`base + D * each` seconds: one pass of the teacher, D of the student. Both are estimated from the blocks themselves,
costs apart for every size of the batch. Nothing here touches what is sampled: a token is the same function of its
noise whatever the draft length (see `ownwords.rsd.step`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

LENGTHS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
"""draft lengths to choose from; a block has one position more than it has drafts read ahead"""
MEMORY = 0.95
"""weight of the past when a new block is averaged in"""
LOOK_EVERY = 12
"""one block in so many tries a neighbouring length, so that the costs stay known"""


@dataclass
class _Cost:
    """Seconds per block as a line over its positions: least squares with a fading memory."""

    n: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, positions: int, seconds: float) -> None:
        self.n = MEMORY * self.n + 1
        self.x = MEMORY * self.x + positions
        self.y = MEMORY * self.y + seconds
        self.xx = MEMORY * self.xx + positions * positions
        self.xy = MEMORY * self.xy + positions * seconds

    def of(self, positions: int) -> float:
        spread = self.n * self.xx - self.x * self.x
        each = (self.n * self.xy - self.x * self.y) / spread if spread > 1e-9 * self.n * self.xx else 0.0
        each = max(each, 0.0)  # a longer block never costs less; noise may say so
        return max((self.y - each * self.x) / self.n, 0.0) + each * positions


@dataclass
class Pace:
    """Chooses the draft length of the next block. `fixed`: always this one; None: the fastest."""

    fixed: int | None = None
    longest: int = LENGTHS[-1]
    """drafts that fit into the memory set aside for their distributions"""
    kept: float = 9.0
    drafted: float = 10.0
    """fading counts: drafts that were read and kept, and that were read; as if ten had been seen already"""
    costs: dict[int, _Cost] = field(default_factory=lambda: defaultdict(_Cost))
    """per power of two of the batch size"""
    blocks: int = 0

    @property
    def keep_rate(self) -> float:
        return self.kept / self.drafted

    def choose(self, rows: int) -> int:
        """Drafts to read ahead in the next block of `rows` rows."""
        if self.fixed is not None:
            return min(self.fixed, self.longest)
        lengths = [d for d in LENGTHS if d <= self.longest]
        cost = self.costs[rows.bit_length()]
        self.blocks += 1
        if cost.n < 2.5:  # nothing is known of this batch size: two points make a line
            return lengths[min((4, 1, 4)[round(cost.n)], len(lengths) - 1)]
        best = max(range(len(lengths)), key=lambda i: self.tokens(lengths[i] + 1) / cost.of(lengths[i] + 1))
        if self.blocks % LOOK_EVERY == 0:
            best += 1 if self.blocks // LOOK_EVERY % 2 else -1
        return lengths[min(max(best, 0), len(lengths) - 1)]

    def tokens(self, positions: int) -> float:
        """Tokens per row to expect of a block."""
        return sum(self.keep_rate**i for i in range(positions))

    def tell(self, rows: int, drafts: int, seconds: float, kept: int, read: int) -> None:
        """A block is done: `read` drafts were looked at until each row's first refusal, `kept` of them stood."""
        self.costs[rows.bit_length()].add(drafts + 1, seconds)
        fade = MEMORY ** (read / 64)  # by evidence, not by block: a block of one row says little
        self.kept, self.drafted = fade * self.kept + kept, fade * self.drafted + read
