"""How far the student drafts ahead: the choice that gives the most tokens per second, learned while running.

With keep rate k a block of D positions gives (1 - k^D) / (1 - k) tokens per row on average, and it costs one pass of
the teacher and D of the student, each with a part that every row adds to: seconds = a + b D + c B + e B D for B rows,
less f B where D is 1, since a single position takes a shorter way through attention and matrix products. The rate and
the five costs are estimated from the blocks themselves. Nothing here touches what is sampled: a token is the same
function of its noise whatever the draft length (see `ownwords.rsd.step`).

Which lengths to try is Thompson sampling (Thompson 1933): before every block the costs are fitted again, to the times
that were seen with a little noise added to each, and the length that is best at these costs is taken. As long as little
is known the noise moves the choice, and neighbouring lengths are looked at; later it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls

from ownwords.engines.threads import Threads

LENGTHS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
"""draft lengths to choose from; a block has one position more than it has drafts read ahead"""
FIRST = (5, 1, 0)
"""lengths of the first blocks: until something is known"""
NOISE = 0.05
"""relative error of the time of a block that is reckoned with"""
SEEN = 256
"""blocks whose times are remembered"""
MEMORY = 0.9
"""weight of the past of the keep rate for 64 drafts more"""


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
    seen: np.ndarray = field(default_factory=lambda: np.zeros((SEEN, 5)))
    """`features` per second of the last blocks, in a ring"""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    threads: Threads | None = None
    """chosen along; None if their number stays as it is"""

    def choose(self, rows: int) -> int:
        """Drafts to read ahead in the next block of `rows` rows."""
        if self.fixed is not None:
            return min(self.fixed, self.longest)
        if self.blocks < len(FIRST):
            return min(FIRST[self.blocks], self.longest)
        lengths_L = np.array([d for d in LENGTHS if d <= self.longest])
        tokens_D = np.cumsum((self.kept / self.drafted) ** np.arange(lengths_L[-1] + 1))  # per row
        seconds_L = np.maximum(features(rows, lengths_L) @ self.costs(), 1e-9)
        return int(lengths_L[np.argmax(tokens_D[lengths_L] / seconds_L)])

    def costs(self, noise: float = NOISE) -> np.ndarray:
        """What each feature costs, seconds: nothing costs less than nothing. Relative errors count, so a block that
        something else on the machine held up says little."""
        seen = self.seen[: self.blocks]
        return nnls(seen, 1 + noise * self.rng.standard_normal(len(seen)))[0]

    def tell(self, rows: int, drafts: int, seconds: float, kept: int, read: int) -> None:
        """A block is done: `read` drafts were looked at up to each row's first refusal, `kept` of them stood. The draft
        at the last position counts too, though it saved nothing: so the rate is known without drafting ahead."""
        fade = MEMORY ** (read / 64)  # by evidence, not by block: a block of one row says little
        self.kept, self.drafted = fade * self.kept + kept, fade * self.drafted + read
        paid_5 = features(rows, np.array([drafts]))[0]
        if self.threads is None or self.threads.trial is None:
            self.seen[self.blocks % SEEN] = paid_5 / seconds
            self.blocks += 1
        if self.threads:
            work = max(float(paid_5 @ self.costs(noise=0)), 1e-9)
            self.seen /= self.threads.tell(seconds, work, self.threads.others_now())


def features(rows: int, drafts_L: np.ndarray) -> np.ndarray:
    """x_L5: what the seconds of a block are a sum of, at costs that are not negative; the last one is a saving."""
    one_L = np.ones(len(drafts_L))
    return np.stack([one_L, drafts_L + 1, rows * one_L, rows * (drafts_L + 1), -rows * (drafts_L == 0)], axis=1)
