"""Figures of sets of traces with intervals that resample problems, the same ones in every set of a study.

A figure is a sum over tokens or attempts divided by another one, so its bootstrap draws problems and divides anew.
Shapes: P problems, M measures, R resamples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ownwords.evaluation.intervals import LEVEL, RESAMPLES, SEED, Interval
from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED, TEACHER
from ownwords.suitability.scores import clipped
from ownwords.traces.summary import IMPLAUSIBLE


@dataclass(frozen=True)
class Measure:
    """What is divided by what, per trace."""

    label: str
    form: str
    """of the number; a share is given in percent"""
    of: Callable[[Trace], tuple[float, float]]
    share: bool = False
    """whether it is the share of the attempts that something holds for, so that 0 of 100 is not certainly none"""
    compared: bool = True
    """False for what a gate decides, which two sets with other gates need not be compared by"""


def _free(trace: Trace) -> np.ndarray:
    return trace.source != FORCED


def _of_attempts(label: str, holds: Callable[[Trace], bool]) -> Measure:
    return Measure(label, ".1%", lambda trace: (float(holds(trace)), 1.0), share=True)


def _of_tokens(label: str, form: str, values: Callable[[Trace], np.ndarray], compared: bool = True) -> Measure:
    def of(trace: Trace) -> tuple[float, float]:
        free = _free(trace)
        return float(values(trace)[free].sum(dtype=np.float64)), int(free.sum())

    return Measure(label, form, of, compared=compared)


def _if_correct(trace: Trace, value: float) -> tuple[float, float]:
    return (value, 1.0) if trace.verdict == "correct" else (0.0, 0.0)


def _rsr(trace: Trace) -> tuple[float, float]:
    """Mean clipped rank and mean surprisal: of these the ratio of a set is made (arXiv 2601.14249)."""
    free = _free(trace)
    surprisal = float(-trace.student_logprob[free].mean(dtype=np.float64))
    return float(clipped(trace.student_rank[free]).mean()), surprisal


MEASURES = (
    _of_attempts("attempts verified correct", lambda t: t.verdict == "correct"),
    _of_attempts("no answer found", lambda t: t.verdict == "unparsable"),
    _of_attempts("cut off by the token limit", lambda t: t.finish_reason == "length"),
    _of_attempts("given up (repetition, fallback)", lambda t: t.finish_reason in ("repetition", "fallback")),
    Measure("mean length, tokens", ".0f", lambda t: (len(t.token_ids), 1.0)),
    Measure("mean length of the correct, tokens", ".0f", lambda t: _if_correct(t, len(t.token_ids))),
    _of_tokens("acceptance: tokens by the teacher", ".2%", lambda t: t.source == TEACHER, compared=False),
    _of_tokens("mean pass mass", ".4f", lambda t: t.pass_mass, compared=False),
    _of_tokens("tokens below 1 % under the student", ".2%", lambda t: t.student_logprob < math.log(IMPLAUSIBLE)),
    _of_tokens("mean student surprisal, nats", ".3f", lambda t: -t.student_logprob),
    Measure("Rank-Surprisal Ratio under the student", ".2f", _rsr),
)  # fmt: skip


@dataclass(frozen=True)
class Sums:
    """The two sums of every measure, problem by problem."""

    tops_PM: np.ndarray
    bottoms_PM: np.ndarray


def sums(traces: Iterable[Trace]) -> dict[str, np.ndarray]:
    """problem id -> (2, M): tops and bottoms over its attempts."""
    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, len(MEASURES))))
    for trace in traces:
        found[trace.problem_id] += np.array([measure.of(trace) for measure in MEASURES]).T
    return dict(found)


def resampled(tops_PM: np.ndarray, bottoms_PM: np.ndarray) -> np.ndarray:
    """(R, M): every figure in every resample; the same problems are drawn whatever the sums are."""
    P = len(tops_PM)
    counts_RP = np.random.default_rng(SEED).multinomial(P, np.full(P, 1 / P), size=RESAMPLES).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts_RP @ tops_PM) / (counts_RP @ bottoms_PM)


def intervals(tops_PM: np.ndarray, bottoms_PM: np.ndarray, shares: Iterable[bool]) -> list[Interval]:
    """The figures with 95 % percentile intervals. `shares`: as `Measure.share`; such a figure that is 0 or 1 in every
    problem is told with what P problems can rule out, 1 - 0.025^(1/P)."""
    values_M = _divided(tops_PM, bottoms_PM)
    low_M, high_M = _quantiles(resampled(tops_PM, bottoms_PM))
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / len(tops_PM))
    found = []
    for value, low, high, share in zip(values_M, low_M, high_M, shares, strict=True):
        if share and low == high:
            low, high = max(0.0, value - unseen), min(1.0, value + unseen)
        found.append(Interval(float(value), float(low), float(high)))
    return found


def differences(one: Sums, other: Sums) -> list[Interval]:
    """`one` minus `other`, the same problems in both."""
    drawn_RM = resampled(one.tops_PM, one.bottoms_PM) - resampled(other.tops_PM, other.bottoms_PM)
    value_M = _divided(one.tops_PM, one.bottoms_PM) - _divided(other.tops_PM, other.bottoms_PM)
    return [Interval(*map(float, three)) for three in zip(value_M, *_quantiles(drawn_RM), strict=True)]


def _divided(tops_PM: np.ndarray, bottoms_PM: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return tops_PM.sum(0) / bottoms_PM.sum(0)


def _quantiles(drawn_RM: np.ndarray) -> np.ndarray:
    """(2, M); nan where a figure is not known, as the pass mass without a teacher."""
    tail = (1 - LEVEL) / 2
    known = np.isfinite(drawn_RM).any(axis=0)
    found = np.full((2, drawn_RM.shape[1]), np.nan)
    found[:, known] = np.nanquantile(drawn_RM[:, known], (tail, 1 - tail), axis=0)
    return found
