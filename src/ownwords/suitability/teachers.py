"""Which teacher suits a student: the sets of several teachers by their Rank-Surprisal Ratio (arXiv 2601.14249), with
intervals.

The bootstrap draws problems, not traces, and the same problems for all teachers: attempts at one problem are not
independent, and where the sets share problems a hard one is hard for all. Each draw weighs every problem by how often
it came up (multinomial), and a set's ratio is taken over its own traces with these weights.

Shapes: D draws, P problems of all sets, K teachers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 2000
CHUNK = 100
"""draws at once, so that many problems need little memory"""


@dataclass(frozen=True)
class Standing:
    """One teacher in the comparison; the best one has the lowest rsr."""

    name: str
    traces: int
    rsr: float
    rsr_interval: tuple[float, float]
    """95 %, percentile bootstrap"""
    best: float
    """share of the draws in which its rsr is the lowest"""
    mean_surprisal: float
    """nats, mean over traces"""
    surprisal_interval: tuple[float, float]
    below_1: float
    """share of tokens below 1 %, mean over traces"""
    mean_length: float


def compare(sets: Mapping[str, Sequence[dict[str, Any]]], seed: int = 0, draws: int = DRAWS) -> list[Standing]:
    """Teachers from the one that suits best to the one that suits least; `sets`: name -> rows of scores.parquet.

    Raises ValueError for a set without a scored trace.
    """
    kept = {name: [row for row in rows if not row["skipped"]] for name, rows in sets.items()}
    if empty := [name for name, rows in kept.items() if not rows]:
        raise ValueError(f"{empty[0]} has no trace with scores: expected a set that the student can read")
    problems = {
        problem: i for i, problem in enumerate(sorted({r["problem_id"] for rows in kept.values() for r in rows}))
    }
    ranks_KP, surprisals_KP, traces_KP = np.zeros((3, len(kept), len(problems)))
    for teacher, rows in enumerate(kept.values()):
        for row in rows:
            at = teacher, problems[row["problem_id"]]
            ranks_KP[at] += row["mean_rank"]
            surprisals_KP[at] += row["mean_surprisal"]
            traces_KP[at] += 1
    rng = np.random.default_rng(seed)
    ratios, means = [], []
    for start in range(0, draws, CHUNK):
        even = np.full(len(problems), 1 / len(problems))
        weights_DP = rng.multinomial(len(problems), even, size=min(CHUNK, draws - start)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw may miss all problems of a small set
            surprisal_DK = weights_DP @ surprisals_KP.T
            ratios.append(weights_DP @ ranks_KP.T / surprisal_DK)
            means.append(surprisal_DK / (weights_DP @ traces_KP.T))
    ratio_DK, mean_DK = np.concatenate(ratios), np.concatenate(means)
    complete = np.isfinite(ratio_DK).all(axis=1)
    best_K = np.bincount(ratio_DK[complete].argmin(axis=1), minlength=len(kept)) / max(complete.sum(), 1)
    found = [
        Standing(
            name=name,
            traces=len(rows),
            rsr=float(ranks_KP[k].sum() / surprisals_KP[k].sum()),
            rsr_interval=_interval(ratio_DK[:, k]),
            best=float(best_K[k]),
            mean_surprisal=float(surprisals_KP[k].sum() / len(rows)),
            surprisal_interval=_interval(mean_DK[:, k]),
            below_1=float(np.mean([row["below_1"] for row in rows])),
            mean_length=float(np.mean([row["length"] for row in rows])),
        )
        for k, (name, rows) in enumerate(kept.items())
    ]
    return sorted(found, key=lambda one: one.rsr)


def _interval(values_D: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values_D[np.isfinite(values_D)], [0.025, 0.975])
    return float(low), float(high)
