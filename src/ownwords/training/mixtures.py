"""Several trace sets as one, with shares (mix distillation, arXiv 2502.12143), and budgets: all by cutting lists.

`mix` interleaves the sets so that any beginning of the result holds them in their shares, to within a row; a budget
is then a beginning, and shares and budgets do not disturb each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ownwords.training.rows import Row


def check_shares(shares: Sequence[float | None]) -> list[float] | None:
    """The shares, or None where no set has one. Raises ValueError unless all have one and they add up to 1."""
    given = [share for share in shares if share is not None]
    if not given:
        return None
    text = ", ".join("none" if share is None else f"{share:g}" for share in shares)
    if len(given) < len(shares):
        raise ValueError(f"the shares of the {len(shares)} sets are {text}: expected one for every set, or for none")
    if any(share <= 0 for share in given) or abs(sum(given) - 1) > 1e-6:
        raise ValueError(f"the shares are {text}, {sum(given):g} in all: expected shares above 0 that add up to 1")
    return given


def mix(sets: Sequence[Sequence[Row]], shares: Sequence[float]) -> list[Row]:
    """As many rows as the shares allow without repeating one: at each place, the set that is furthest behind."""
    # a hair more, so that 30 rows at share 0.3 make 100 and not 99
    total = min(math.floor(len(rows) / share + 1e-9) for rows, share in zip(sets, shares, strict=True))
    taken = [0] * len(sets)
    mixed: list[Row] = []
    while len(mixed) < total:
        owed = [share * (len(mixed) + 1) - n for share, n in zip(shares, taken, strict=True)]
        most = max(range(len(sets)), key=lambda i: (owed[i], -i))
        if taken[most] == len(sets[most]):  # the rounding of the last places
            break
        mixed.append(sets[most][taken[most]])
        taken[most] += 1
    return mixed


def cap_problems(rows: Sequence[Row], most: int) -> list[Row]:
    """The rows before the first one that would bring in more than `most` problems."""
    seen: set[str] = set()
    for n, row in enumerate(rows):
        seen.add(row.problem_id)
        if len(seen) > most:
            return list(rows[:n])
    return list(rows)


def cap_tokens(rows: Sequence[Row], most: int) -> list[Row]:
    """The rows before the first one with which the tokens with loss would be more than `most`."""
    total = 0
    for n, row in enumerate(rows):
        total += row.loss_tokens
        if total > most:
            return list(rows[:n])
    return list(rows)
