"""A run as one table: a row per problem, a column per score. Everything that is reported is a mean over its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ownwords.answers.checker import Checker
from ownwords.evaluation.metrics import majority_at_k
from ownwords.evaluation.votes import count_votes
from ownwords.records.problem import Problem
from ownwords.traces.store import Store
from ownwords.traces.summary import pass_at_k


@dataclass(frozen=True)
class Answers:
    """What is scored of the first n answers to a problem, in the order of their attempts."""

    problem: Problem
    answers: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    @property
    def correct(self) -> int:
        return self.verdicts.count("correct")

    @property
    def group(self) -> str:
        """What it is resampled together with: the template it was made from, where it tells one."""
        template = self.problem.metadata.get("template")
        return self.problem.id if template is None else f"{self.problem.source}/{template}"

    def first(self, n: int) -> Answers:
        return Answers(self.problem, self.answers[:n], self.verdicts[:n], self.finish_reasons[:n], self.tokens[:n])


@dataclass(frozen=True)
class Table:
    """P problems x M scores."""

    rows: list[Answers]
    names: list[str]
    values_PM: np.ndarray
    bounds: list[tuple[float, float]]
    """the least and the largest value that each score can have"""

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.rows]


def read_answers(store: Store) -> dict[str, Answers]:
    """problem id -> its answers 0, 1, ... up to the first one that is missing; problems without answer 0 are left out.

    An interrupted run lacks the answers that take longest: later ones are not moved up into a gap.
    """
    problems = store.problems()
    read: dict[str, Answers] = {}
    for trace in store.traces():
        answers = read.setdefault(trace.problem_id, Answers(problems[trace.problem_id]))
        if trace.attempt == len(answers.verdicts):
            answers.answers.append(trace.answer)
            answers.verdicts.append(trace.verdict)
            answers.finish_reasons.append(trace.finish_reason)
            answers.tokens.append(len(trace.token_ids))
    return {i: answers for i, answers in read.items() if answers.verdicts}


def samples(answers: dict[str, Answers]) -> int:
    """How many answers every problem has at least."""
    return min(len(a.verdicts) for a in answers.values())


def tabulate(answers: Sequence[Answers], n: int, max_tokens: int, checker: Checker) -> Table:
    """Score the first `n` answers to each problem.

    avg@n, pass@k and maj@k; the share of answers that did not end by themselves (`truncated`: out of tokens, or given
    up as a loop) and of those in which nothing could be read (`unparsable`); tokens per answer, at most `max_tokens`.
    """
    rows = [a.first(n) for a in answers]
    several = [k for k in (2, 4, 8, 16, 32, 64, 128) if k < n] + [n] * (n > 1)
    voting = [k for k in several if k > 2]  # of two that differ neither has a majority
    names = [f"avg@{n}", *(f"pass@{k}" for k in several), *(f"maj@{k}" for k in voting)]
    names += ["truncated", "unparsable", "tokens"]
    values = []
    for row in rows:
        cells = [row.correct / n, *(pass_at_k(n, row.correct, k) for k in several)]
        if voting:
            votes, silent = count_votes(row.problem, list(zip(row.answers, row.verdicts, strict=True)), checker)
            cells += [majority_at_k(votes, silent, k) for k in voting]
        cells += [sum(reason != "stop" for reason in row.finish_reasons) / n, row.verdicts.count("unparsable") / n]
        values.append([*cells, sum(row.tokens) / n])
    bounds = [(0.0, 1.0)] * (len(names) - 1) + [(0.0, float(max_tokens))]
    return Table(rows, names, np.array(values), bounds)
