"""What deserves a look: the attempts and problems that a person should open before trusting a set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ownwords.reports.figures import Attempt, Measured

COLLAPSED = 0.5
"""fallback rate above which the student has taken over: the paper's filter (arXiv 2509.22230)"""
HARDEST = 10
"""attempts that are listed as the hardest to learn"""


@dataclass(frozen=True)
class Finding:
    """A reason to look, and where."""

    title: str
    note: str
    """what the title does not say; empty where it says all"""
    places: list[tuple[int, str, int]]
    """(set, problem id, attempt)"""


def findings(sets: list[Measured]) -> list[Finding]:
    """Only those with at least one place."""
    found = [
        _all(
            sets,
            "collapsed",
            f"the student wrote more than {COLLAPSED:.0%} of a trace of both, or the run gave up for it",
            lambda one, a: one.source.mixes and (a.fallback_rate > COLLAPSED or a.finish_reason == "fallback"),
        ),
        _all(sets, "loops", "the last tokens repeat themselves", lambda one, a: a.loops),
        _all(
            sets,
            "cut off",
            "ended by the token limit, and no loop",
            lambda one, a: a.finish_reason == "length" and not a.loops,
        ),
        _all(
            sets,
            "no verdict",
            "no answer found, or none that could be judged in time",
            lambda one, a: a.verdict in ("unparsable", "timeout"),
        ),
    ]
    solved = [
        {problem for problem, verdicts in one.verdicts_by_problem().items() if "correct" in verdicts} for one in sets
    ]
    judged = [any(a.verdict != "unverifiable" for a in one.attempts) for one in sets]
    for i, one in enumerate(sets):
        if judged[i]:
            never = {*one.verdicts_by_problem()} - solved[i]
            found.append(_problems(sets, [i], never, f"never solved by {one.name}"))
    for i, one in enumerate(sets):
        for j, other in enumerate(sets):
            if i != j and 0 in (i, j) and judged[i] and judged[j]:
                only = (solved[i] & {*other.verdicts_by_problem()}) - solved[j]
                title = f"solved by {one.name}, not by {other.name}"
                found.append(_problems(sets, sorted((i, j)), only, title))
    found += [_hardest(sets, i) for i in range(len(sets))]
    return [finding for finding in found if finding.places]


def _all(sets: list[Measured], title: str, note: str, wanted: Callable[[Measured, Attempt], bool]) -> Finding:
    places = [(i, a.problem_id, a.attempt) for i, one in enumerate(sets) for a in one.attempts if wanted(one, a)]
    return Finding(title, note, places)


def _problems(sets: list[Measured], which: list[int], problems: set[str], title: str) -> Finding:
    places = [(i, a.problem_id, a.attempt) for i in which for a in sets[i].attempts if a.problem_id in problems]
    return Finding(title, "", places)


def _hardest(sets: list[Measured], i: int) -> Finding:
    """Correct attempts would be trained on, or all where nobody judged; these are the furthest from what the student
    says by itself."""
    judged = any(a.verdict != "unverifiable" for a in sets[i].attempts)
    known = [a for a in sets[i].attempts if not math.isnan(a.surprisal) and (a.verdict == "correct" or not judged)]
    hardest = sorted(known, key=lambda a: -a.surprisal)[:HARDEST]
    return Finding(
        f"{'correct but' if judged else 'most'} surprising: {sets[i].name}",
        "",
        [(i, a.problem_id, a.attempt) for a in hardest],
    )
