"""Which attempts are still to be made, in which order.

Either a fixed number per problem, or (`until_correct`) attempts 0, 1, 2, ... until so many are correct. The second way
never starts an attempt that could prove unnecessary, so the attempts made do not depend on the batch or on restarts:
they are the shortest sequence that holds enough correct ones.

Attempts by a privileged teacher have numbers of their own (`PRIVILEGED`), so that a number always means the same
attempt, and a run can be given them later, for the problems that it has not solved without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ownwords.records.problem import Problem

PRIVILEGED = {"answer": 1000, "solution": 2000}
"""What the teacher is shown -> the first number of such attempts."""
MOST = 1000
"""attempts of one kind at a problem"""


def shown_at(attempt: int) -> str:
    """What the teacher is shown at an attempt of this number; empty for nothing."""
    return next((shown for shown, first in PRIVILEGED.items() if first <= attempt < first + MOST), "")


@dataclass(frozen=True)
class Owed:
    """The attempts that a problem gets."""

    attempts: int
    until_correct: int | None = None
    """instead of a fixed number: until this many are correct"""
    max_attempts: int = 16
    """with `until_correct`"""
    first: int = 0
    """the number of the first one"""
    rescue: int | None = None
    """if a problem has all of them and none is correct: as many again, numbered from here"""

    @property
    def most(self) -> int:
        """Attempts at a problem, those of the rescue left out."""
        return self.max_attempts if self.until_correct else self.attempts


class Plan:
    """Hands out (problem, attempt) pairs and is told the verdicts. `done` holds what earlier starts have stored."""

    def __init__(self, problems: Iterable[Problem], done: dict[str, dict[int, str]], owed: Owed):
        self.problems = {p.id: p for p in problems}
        self.until_correct = owed.until_correct
        self.plain = range(owed.first, owed.first + owed.most)
        self.rescue = range(0) if owed.rescue is None else range(owed.rescue, owed.rescue + owed.most)
        self.verdicts = {i: dict(done.get(i, {})) for i in self.problems}
        self.in_flight: dict[str, set[int]] = {i: set() for i in self.problems}
        self._waiting = deque(i for i in self.problems if self._owed(i))

    def take(self, n: int) -> list[tuple[Problem, int]]:
        """Up to `n` attempts to start now; fewer while verdicts are awaited, none when all is made or in flight."""
        taken: list[tuple[Problem, int]] = []
        while self._waiting and len(taken) < n:
            problem_id = self._waiting[0]
            owed = self._owed(problem_id)
            for attempt in owed[: n - len(taken)]:
                self.in_flight[problem_id].add(attempt)
                taken.append((self.problems[problem_id], attempt))
            if not self._owed(problem_id):
                self._waiting.popleft()
        return taken

    def report(self, problem_id: str, attempt: int, verdict: str) -> None:
        """An attempt has been judged. The next one at its problem, if it needs one, goes to the front."""
        self.in_flight[problem_id].discard(attempt)
        self.verdicts[problem_id][attempt] = verdict
        if self._owed(problem_id) and problem_id not in self._waiting:
            self._waiting.appendleft(problem_id)

    def coming(self, n: int) -> list[tuple[str, int]]:
        """Problem and attempt whose prompts will be asked for next, of `n` problems at most; before them, with
        `until_correct`, those that may be asked for again when attempts in flight have been judged."""
        next_ = [(i, self._owed(i)[0]) for i in islice(self._waiting, n)]
        if self.until_correct:
            return [(i, max(attempts)) for i, attempts in self.in_flight.items() if attempts] + next_
        return next_

    @property
    def made(self) -> int:
        return sum(map(len, self.verdicts.values()))

    @property
    def solved(self) -> int:
        """Problems with at least one correct attempt."""
        return sum("correct" in verdicts.values() for verdicts in self.verdicts.values())

    @property
    def most_left(self) -> int:
        """Attempts not yet judged; with `until_correct` or `rescue` the most that there can be."""
        return sum(
            sum(a not in verdicts for a in self._possible(verdicts))
            for verdicts in self.verdicts.values()
            if not self.until_correct or self._correct(verdicts) < self.until_correct
        )

    def _owed(self, problem_id: str) -> list[int]:
        """Attempts of a problem that may start now, lowest first."""
        made, flying = self.verdicts[problem_id], self.in_flight[problem_id]
        open_ = [a for a in self._possible(made) if a not in made and a not in flying]
        if any(a not in made for a in self.plain):
            open_ = [a for a in open_ if a in self.plain]
        if self.until_correct:
            return open_[: max(0, self.until_correct - self._correct(made) - len(flying))]
        return open_

    def _possible(self, verdicts: dict[int, str]) -> list[int]:
        """Attempts that may be made at a problem as far as is known."""
        solved = any(verdicts.get(a) == "correct" for a in self.plain)
        return [*self.plain] if solved else [*self.plain, *self.rescue]

    @staticmethod
    def _correct(verdicts: dict[int, str]) -> int:
        return sum(verdict == "correct" for verdict in verdicts.values())
