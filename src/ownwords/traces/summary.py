"""The figures of a run: what was solved, who wrote it, and how plausible the student finds it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER

IMPLAUSIBLE = 0.01
"""Tokens below this student probability are what a small student cannot learn (arXiv 2509.22230)."""


@dataclass(frozen=True)
class Summary:
    """Figures over all attempts; token figures leave the forced ones out."""

    problems: int
    attempts: int
    solved: int
    """problems with at least one correct attempt"""
    verdicts: dict[str, int]
    by_endpoint: int
    """verdicts of a language model"""
    finish_reasons: dict[str, int]
    teacher_tokens: int
    student_tokens: int
    forced_tokens: int
    mean_length: float
    """tokens per attempt"""
    mean_surprisal: float
    """nats: mean of -ln q over tokens, q the student's raw probability"""
    implausible: float
    """share of tokens with q below 1 %"""
    pass_mass: float
    """mean share of the teacher's proposals that the gate lets through; NaN if nobody knows"""

    @property
    def verified(self) -> float:
        """Share of the attempts that are correct."""
        return self.verdicts.get("correct", 0) / self.attempts if self.attempts else 0.0

    @property
    def acceptance(self) -> float:
        """Share of the tokens that are the teacher's."""
        free = self.teacher_tokens + self.student_tokens
        return self.teacher_tokens / free if free else 0.0


def summarise(traces: Iterable[Trace]) -> Summary:
    """One pass over the traces, holding none of them."""
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sources: Counter[int] = Counter()
    problems, solved, by_endpoint, free_tokens = set(), set(), 0, 0
    length = surprisal = implausible = mass = 0.0
    for trace in traces:
        problems.add(trace.problem_id)
        if trace.verdict == "correct":
            solved.add(trace.problem_id)
        verdicts[trace.verdict] += 1
        by_endpoint += trace.judged_by == "endpoint"
        reasons[trace.finish_reason] += 1
        for source in (TEACHER, STUDENT, FORCED):
            sources[source] += int(trace.by(source).sum())
        free = trace.free
        length += len(trace.token_ids)
        free_tokens += int(free.sum())
        surprisal += float(trace.surprisal[free].sum(dtype=np.float64))
        implausible += int((trace.surprisal[free] > -np.log(IMPLAUSIBLE)).sum())
        mass += math.nan if trace.pass_mass is None else float(trace.pass_mass[free].sum(dtype=np.float64))
    attempts, tokens = sum(verdicts.values()), max(free_tokens, 1)
    return Summary(
        problems=len(problems),
        attempts=attempts,
        solved=len(solved),
        verdicts=dict(verdicts),
        by_endpoint=by_endpoint,
        finish_reasons=dict(reasons),
        teacher_tokens=sources[TEACHER],
        student_tokens=sources[STUDENT],
        forced_tokens=sources[FORCED],
        mean_length=length / max(attempts, 1),
        mean_surprisal=surprisal / tokens,
        implausible=implausible / tokens,
        pass_mass=mass / tokens,
    )


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The probability that at least one of k answers, chosen from n without replacement, is correct: the unbiased
    estimator of Chen et al., arXiv 2107.03374, section 2.1."""
    assert 0 <= correct <= n and 1 <= k <= n, (n, correct, k)
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def described(summary: Summary) -> dict[str, str]:
    """The figures as people read them: label -> text, the same labels in the same order for every run."""
    marked = {"verdicts by an endpoint's model": f"{summary.by_endpoint}"} if summary.by_endpoint else {}
    return {
        "problems": f"{summary.problems}",
        "solved problems": f"{summary.solved} ({summary.solved / max(summary.problems, 1):.1%})",
        "attempts": f"{summary.attempts}",
        "attempts verified correct": f"{summary.verdicts.get('correct', 0)} ({summary.verified:.1%})",
        "other verdicts": _counts(summary.verdicts, "correct"),
        **marked,
        "ended otherwise than by itself": _counts(summary.finish_reasons, "stop"),
        "tokens by the teacher": f"{summary.teacher_tokens:,}",
        "tokens by the student": f"{summary.student_tokens:,}",
        "acceptance": f"{summary.acceptance:.2%}",
        "mean pass mass": "-" if math.isnan(summary.pass_mass) else f"{summary.pass_mass:.3f}",  # without a teacher
        "mean length, tokens": f"{summary.mean_length:.0f}",
        "mean student surprisal, nats": f"{summary.mean_surprisal:.3f}",
        "tokens below 1 % under the student": f"{summary.implausible:.2%}",
    }


def _counts(counts: dict[str, int], without: str) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()) if name != without) or "none"
