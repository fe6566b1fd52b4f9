"""Scores of one problem from n answers to it, as the expectation over all ways to choose k of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import comb


def majority_at_k(votes: Sequence[tuple[int, bool]], silent: int, k: int) -> float:
    """The probability that a vote among k answers, chosen without replacement, elects a correct one.

    `votes`: (how many answers agree, whether what they say is correct) per distinct answer; `silent`: answers that say
    nothing that could be counted. The most votes win; a tie is decided by lot among those that tie; where nobody votes
    nothing is elected. Exact: it counts the choices instead of drawing some.
    """
    n = silent + sum(size for size, _ in votes)
    assert 1 <= k <= n, (n, k)
    won = Fraction(0)
    for i, (size, correct) in enumerate(votes):
        others = [other for j, (other, _) in enumerate(votes) if j != i]
        for most in range(1, min(size, k) + 1) if correct else ():
            ways = _ways(others, silent, most, k - most)
            won += comb(size, most) * sum(Fraction(count, 1 + ties) for ties, count in ways.items())
    return float(won / comb(n, k))


def _ways(others: Sequence[int], silent: int, most: int, left: int) -> dict[int, int]:
    """ties -> ways to choose `left` answers such that no other group has more than `most` of them, where `ties` groups
    have exactly `most`."""
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for size in others:
        longer: dict[tuple[int, int], int] = defaultdict(int)
        for (chosen, ties), count in ways.items():
            for here in range(min(size, most, left - chosen) + 1):
                longer[chosen + here, ties + (here == most)] += count * comb(size, here)
        ways = longer
    result: dict[int, int] = defaultdict(int)
    for (chosen, ties), count in ways.items():
        result[ties] += count * comb(silent, left - chosen)
    return result
