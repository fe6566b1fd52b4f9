"""Attempts that have ended and wait for their verdicts; a verdict is what brings an attempt into the store.

An attempt whose answer no process lived to judge is not stored, and so it is owed at the next start, which makes it
again, token by token the same.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait

from ownwords.answers.checker import Checker, NotJudged
from ownwords.generation.plan import Plan
from ownwords.records.trace import Trace
from ownwords.traces.store import Store


class Judging:
    """Between the engine and the store."""

    def __init__(self, plan: Plan, checker: Checker, store: Store) -> None:
        self.plan, self.checker, self.store = plan, checker, store
        self._waiting: dict[Future[str], Trace] = {}
        self._killed: list[NotJudged] = []

    def __len__(self) -> int:
        """Attempts that wait."""
        return len(self._waiting)

    def submit(self, trace: Trace) -> None:
        """Have the answer of an attempt judged."""
        problem = self.plan.problems[trace.problem_id]
        self._waiting[self.checker.submit(problem, trace.answer or None)] = trace

    def kept(self) -> list[Trace]:
        """Store what has been judged since, and tell the plan; the attempts that were stored."""
        kept = []
        for future in [f for f in self._waiting if f.done()]:
            trace = self._waiting.pop(future)
            try:
                trace.verdict = future.result()
            except NotJudged as error:  # to the plan it stays in flight: nothing is begun in its stead
                self._killed.append(error)
                continue
            problem = self.plan.problems[trace.problem_id]
            trace.judged_by = self.checker.judged_by(problem, trace.answer)
            self.store.add(problem, trace)
            self.plan.report(trace.problem_id, trace.attempt, trace.verdict)
            kept.append(trace)
        return kept

    def wait(self) -> None:
        """Until one more has been judged."""
        wait(self._waiting, return_when=FIRST_COMPLETED)

    def finish(self) -> None:
        """Wait for all and store them."""
        while self:
            self.wait()
            self.kept()

    def refuse_unjudged(self) -> None:
        """Raise ValueError if attempts are left without a verdict."""
        if self._killed:
            count = f"{len(self._killed)} attempts could not be judged and are owed"
            raise ValueError(f"{count}, all others are kept: {self._killed[0]}")
