"""Which answers to a problem say the same, so that a majority can be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ownwords.answers.checker import Checker
from ownwords.answers.kind import kind_of
from ownwords.records.problem import Problem


def count_votes(
    problem: Problem, answers: Sequence[tuple[str, str]], checker: Checker
) -> tuple[list[tuple[int, bool]], int]:
    """(votes, silent) of (answer, verdict) pairs, as `majority_at_k` takes them.

    Correct answers vote together. Two others agree if the one is judged correct with the other as its reference, and
    whoever agrees with a member of a group belongs to it: 0.5 and 50 vote together if somebody said 50 %. So the
    groups are the same whatever the order of the answers. Answers of a kind that has many right ones (as
    reasoning-gym's tasks) agree as texts only: no voter could tell that two are equally right. An answer that is
    missing or unparsable is silent.
    """
    voices = [(answer, verdict == "correct") for answer, verdict in answers if answer and verdict != "unparsable"]
    counted = Counter(voices)
    by_text = kind_of(problem.kind).many_right
    groups: list[list[tuple[str, bool]]] = []
    for voice in sorted(counted):
        joined, apart = [voice], list[list[tuple[str, bool]]]()
        for group in groups:
            agrees = not by_text and any(_agree(problem, one, voice, checker) for one in group)
            joined, apart = (joined + group, apart) if agrees else (joined, [*apart, group])
        groups = [*apart, joined]
    votes = [(sum(counted[voice] for voice in group), group[0][1]) for group in groups]
    return sorted(votes, reverse=True), len(answers) - len(voices)


def _agree(problem: Problem, one: tuple[str, bool], other: tuple[str, bool], checker: Checker) -> bool:
    """Whether two voices, of which `one` sorts first, say the same."""
    if one[1] or other[1]:
        return one[1] == other[1]
    return checker.submit(replace(problem, answer=one[0]), other[0]).result() == "correct"
