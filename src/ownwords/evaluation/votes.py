"""Which answers to a problem say the same, so that a majority can be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ownwords.answers.checker import Checker
from ownwords.problems.problem import Problem


def count_votes(
    problem: Problem, answers: Sequence[tuple[str, str]], checker: Checker
) -> tuple[list[tuple[int, bool]], int]:
    """(votes, silent) of (answer, verdict) pairs, as `majority_at_k` takes them.

    Two answers agree if they are the same text, or if both are correct, or if the one is judged correct with the other
    as its reference. Answers to reasoning-gym's tasks agree as texts only: some tasks have many right answers, which
    no voter could tell to be equally right. An answer that is missing or unparsable is silent.
    """
    counted = Counter((answer, verdict) for answer, verdict in answers if answer and verdict != "unparsable")
    sizes: Counter[str] = Counter()  # by the first answer of a group
    right: dict[str, bool] = {}
    for (answer, verdict), size in counted.items():
        correct = verdict == "correct"
        same = (first for first in right if _agree(problem, first, answer, right[first], correct, checker))
        group = next(same, answer)
        sizes[group] += size
        right.setdefault(group, correct)
    return [(size, right[group]) for group, size in sizes.items()], len(answers) - counted.total()


def _agree(problem: Problem, one: str, other: str, one_right: bool, other_right: bool, checker: Checker) -> bool:
    if one == other:
        return True
    if problem.kind.startswith("gym:") or one_right != other_right:
        return False
    return one_right or checker.submit(replace(problem, answer=one), other).result() == "correct"
