"""How far a score can be trusted: intervals that resample problems, and an exact test of paired differences.

A benchmark is a sample of the problems that one cares about, so what is drawn anew is problems, never answers: the
percentile bootstrap (Efron 1979). Problems made from one template stand or fall together; they are drawn together.

Shapes: P problems, G groups of problems, M scores, R resamples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
CELLS = 1 << 22
"""counts that are drawn at a time"""


@dataclass(frozen=True)
class Interval:
    """A mean over problems and where it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float


def mean_intervals(
    values_PM: np.ndarray, groups: Sequence[Hashable], bounds: Sequence[tuple[float, float]]
) -> list[Interval]:
    """The mean over problems of each score, with a bootstrap interval; all scores see the same resamples.

    `groups`: what each problem is drawn together with, its own id where it stands alone. `bounds`: the least and the
    largest value that each score can have. They serve scores that are equal in every group, such as 0 of 30 solved,
    of which a bootstrap would say that they are certain: with n groups, more than a share 1 - 0.025^(1/n) of them
    being otherwise would have shown with a probability of 97.5 %.
    """
    sums_GM, sizes_G = by_group(values_PM, groups)
    G = len(sizes_G)
    rng = np.random.default_rng(SEED)
    means = []
    for start in range(0, RESAMPLES, step := max(1, CELLS // G)):
        counts_RG = rng.multinomial(G, np.full(G, 1 / G), size=min(step, RESAMPLES - start)).astype(float)
        means.append(counts_RG @ sums_GM / (counts_RG @ sizes_G)[:, None])
    tail = (1 - LEVEL) / 2
    low_M, high_M = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0)
    value_M = sums_GM.sum(0) / sizes_G.sum()
    equal_M = np.ptp(sums_GM / sizes_G[:, None], axis=0) < 1e-12
    unseen = 1 - tail ** (1 / G)
    intervals = []
    for value, low, high, equal, (least, largest) in zip(value_M, low_M, high_M, equal_M, bounds, strict=True):
        if equal:
            low, high = value - unseen * (value - least), value + unseen * (largest - value)
        intervals.append(Interval(float(value), float(low), float(high)))
    return intervals


def by_group(values_PM: np.ndarray, groups: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """(sums_GM, sizes_G): the scores summed over the problems of each group, and how many these are."""
    place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index_P = np.array([place[group] for group in groups])
    sums_GM = np.zeros((len(place), *values_PM.shape[1:]), dtype=values_PM.dtype)
    np.add.at(sums_GM, index_P, values_PM)
    return sums_GM, np.bincount(index_P, minlength=len(place))


def sign_flip_p(differences: Sequence[int]) -> float:
    """Two-sided p-value of paired differences (whole numbers) under "each could as well have had the other sign".

    Exact, by counting all sign patterns. For one answer per problem it is McNemar's exact test.
    """
    sizes = [abs(d) for d in differences if d]
    total, seen = sum(sizes), abs(sum(differences))
    law = np.zeros(total + 1)  # of the sum of the positive ones, t; the difference is then 2 t - total
    law[0] = 1.0
    for size in sizes:
        law[size:] = (law[size:] + law[:-size]) / 2
        law[:size] /= 2
    return float(min(1.0, law[np.abs(2 * np.arange(total + 1) - total) >= seen].sum()))
