"""How far the student drafts ahead: the choice that gives the most tokens per second, learned while running.

With keep rate k a block of D positions gives (1 - k^D) / (1 - k) tokens per row on average, and it costs one pass of
the teacher and D of the student, each with a part that every row adds to: seconds = a + b D + c B + e B D for B rows,
less f B where D is 1, since a single position takes a shorter way through attention and matrix products. The rate and
the five costs are estimated from the blocks themselves. Nothing here touches what is sampled: a token is the same
function of its noise whatever the draft length (see `ownwords.rsd.step`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LENGTHS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
"""draft lengths to choose from; a block has one position more than it has drafts read ahead"""
FIRST = (5, 2, 0)
"""lengths of the first blocks: until something is known"""
MEMORY = 0.98
"""weight of the past when a new block is averaged in"""
NEARLY = 0.99
"""of the best speed expected is as good as the best"""
LOOK_EVERY = 16
"""one block in so many tries a neighbouring length, so that the costs stay known"""
FIT_EVERY = 4
"""blocks from one fit of the costs to the next"""


@dataclass
class Pace:
    """Chooses the draft length of the next block. `fixed`: always this one; None: the fastest."""

    fixed: int | None = None
    longest: int = LENGTHS[-1]
    """drafts that fit into the memory set aside for their distributions"""
    kept: float = 9.0
    drafted: float = 10.0
    """fading counts: drafts that were read and kept, and that were read; as if ten had been seen already"""
    blocks: int = 0
    moments: np.ndarray = field(default_factory=lambda: np.zeros((5, 6)))
    """fading sums of x x' and x y over the blocks, x as in `features`, y the seconds; least squares needs no more"""
    costs: np.ndarray = field(default_factory=lambda: np.zeros(5))
    """what each feature costs, seconds"""

    @property
    def keep_rate(self) -> float:
        return self.kept / self.drafted

    def choose(self, rows: int) -> int:
        """Drafts to read ahead in the next block of `rows` rows."""
        if self.fixed is not None:
            return min(self.fixed, self.longest)
        lengths = [d for d in LENGTHS if d <= self.longest]
        if self.blocks < len(FIRST):
            return min(FIRST[self.blocks], lengths[-1])
        if self.blocks < 2 * FIT_EVERY or self.blocks % FIT_EVERY == 0:
            self.costs = np.linalg.lstsq(self.moments[:, :5], self.moments[:, 5], rcond=1e-9)[0]
        speeds = [self.tokens(d + 1) / max(float(features(rows, d) @ self.costs), 1e-9) for d in lengths]
        # The top of the curve is flat and the estimate is not exact: the shortest of the good ones wastes the least.
        best = next(i for i, speed in enumerate(speeds) if speed >= NEARLY * max(speeds))
        if self.blocks % LOOK_EVERY == 0:
            best += 1 if self.blocks // LOOK_EVERY % 2 else -1
        return lengths[min(max(best, 0), len(lengths) - 1)]

    def tokens(self, positions: int) -> float:
        """Tokens per row to expect of a block."""
        return sum(self.keep_rate**i for i in range(positions))

    def tell(self, rows: int, drafts: int, seconds: float, kept: int, read: int) -> None:
        """A block is done: `read` drafts were looked at until each row's first refusal, `kept` of them stood."""
        x = features(rows, drafts)
        # Weighted so that relative errors count: a block that something else on the machine held up says little.
        self.moments = MEMORY * self.moments + np.outer(x, np.append(x, seconds)) / seconds**2
        fade = MEMORY ** (read / 64)  # by evidence, not by block: a block of one row says little
        self.kept, self.drafted = fade * self.kept + kept, fade * self.drafted + read
        self.blocks += 1


def features(rows: int, drafts: int) -> np.ndarray:
    return np.array([1.0, drafts + 1, rows, rows * (drafts + 1), 0 if drafts else rows])
