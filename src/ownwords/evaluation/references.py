"""Would a right answer be found and judged right? Every reference, in the ways in which a model would write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ownwords.answers.checker import Checker
from ownwords.answers.kind import kind_of
from ownwords.evaluation.spellings import spellings
from ownwords.records.problem import Problem


@dataclass(frozen=True)
class Reference:
    """What became of one problem's reference."""

    problem: Problem
    verdicts: dict[str, str]
    """by spelling, the reference as it stands first; all should be `correct`"""

    @property
    def refused(self) -> dict[str, str]:
        """The spellings that are not judged correct, with their verdicts."""
        return {spelling: verdict for spelling, verdict in self.verdicts.items() if verdict != "correct"}


def judge_references(problems: Sequence[Problem], checker: Checker) -> list[Reference]:
    """The verdict on each spelling of each problem's own reference, written as `\\boxed{...}`."""
    asked = []
    for problem in problems:
        futures = {}
        for spelling in spellings(problem):
            found = kind_of(problem.kind).find(f"The answer is \\boxed{{{spelling}}}.", "boxed")
            futures[spelling] = checker.submit(problem, found.answer if found else None)
        asked.append((problem, futures))
    return [
        Reference(problem, {spelling: future.result() for spelling, future in futures.items()})
        for problem, futures in asked
    ]
