"""Would a right answer be found and judged right? Every reference, given as a model would write it."""

from __future__ import annotations

from collections.abc import Sequence

from ownwords.answers.checker import Checker
from ownwords.answers.extract import find_answer
from ownwords.problems.problem import Problem


def judge_references(problems: Sequence[Problem], checker: Checker) -> list[str]:
    """The verdict on each problem's own reference, written as `\\boxed{reference}`; all should be `correct`."""
    asked = []
    for problem in problems:
        found = find_answer(f"The answer is \\boxed{{{problem.answer}}}.", problem.kind, "boxed")
        asked.append(checker.submit(problem, found.answer if found else None))
    return [future.result() for future in asked]
