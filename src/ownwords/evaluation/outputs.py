"""A file of outputs, judged row by row, and set beside the verdicts that another grader gave them.

A row holds a reference and an output (or a list of them), and where the file has them a question, options, and a
grader's verdict. Field names are guessed from those that people use, and can be given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ownwords.answers.call import Judged, find_in, judged
from ownwords.answers.checker import Checker
from ownwords.answers.choices import LETTERS, read_label
from ownwords.answers.extract import Found
from ownwords.answers.kind import Judgement, is_kind
from ownwords.configuration import FieldError
from ownwords.problems.fields import QUESTION_NAMES, to_problem
from ownwords.problems.readers import Rows
from ownwords.records.problem import Problem

REFERENCE_NAMES = ("reference", "reference_answer", "ref", "gold", "gt", "gold_answer", "expected", "correct_answer")
OUTPUT_NAMES = (
    "output", "model_output", "response", "completion", "generation", "generated_text", "prediction", "model_answer",
    "outputs", "responses", "completions", "generations", "resps", "text", "code",
)  # fmt: skip
GRADER_NAMES = (
    "is_correct", "correct", "grader", "judge", "verdict", "acc", "accuracy", "exact_match", "score", "scores",
    "reward", "passed", "grade",
)  # fmt: skip
RIGHT = ("true", "correct", "right", "yes", "1", "1.0", "pass", "passed")
WRONG = ("false", "incorrect", "wrong", "no", "0", "0.0", "-1", "-1.0", "fail", "failed")
NO_QUESTION = "(not given)"
AHEAD = 64
"""outputs that are given to the workers before the first verdict is waited for"""


@dataclass(frozen=True)
class Fields:
    """Which columns hold what; None: guess. `grader` empty: the file has no grader's verdict."""

    reference: str | None = None
    output: str | None = None
    question: str | None = None
    grader: str | None = None


@dataclass(frozen=True)
class Row:
    """One output and what was made of it."""

    where: str
    """file, line and, in a list of outputs, its place"""
    reference: str
    judged: Judged
    grader: bool | None
    """what the file's grader said; None if it said nothing"""

    @property
    def right(self) -> bool:
        return self.judged.verdict == "correct"


def judge_rows(
    rows: Rows,
    checker: Checker,
    fields: Fields,
    *,
    kind: str | None = None,
    answer_from: str = "any",
    closing: str = "</think>",
    limit: int | None = None,
    bad: list[str] | None = None,
) -> Iterator[Row]:
    """The outputs of the first `limit` rows, judged, in order; few of them are in memory at a time.

    `kind` of all rows; None: the row's own, or `choice` if it has options or its reference is a letter. A row that
    cannot be read raises ValueError, naming file, line and field; with a list `bad` it is left out and its reason
    appended.
    """
    waiting: deque[tuple[str, Problem, Found | None, bool | None, Future[Judgement]]] = deque()
    for where, row in islice(rows, limit):
        try:
            if isinstance(row, str):
                raise ValueError(row)
            problem, outputs = read_row(where, row, fields, kind)
        except ValueError as error:
            if bad is None:
                raise FieldError("outputs", "{}: {} ({skip_bad_rows} leaves such rows out)", where, error) from error
            bad.append(f"{where}: {error}")
            continue
        for number, (output, grade) in enumerate(outputs, 1):
            place = where if len(outputs) == 1 else f"{where}, output {number}"
            found = find_in(output, problem.kind, answer_from, closing)
            future = checker.decide(problem, found.answer if found else None)
            waiting.append((place, problem, found, grade, future))
        while len(waiting) > AHEAD:
            yield _row(*waiting.popleft())
    while waiting:
        yield _row(*waiting.popleft())


def _row(where: str, problem: Problem, found: Found | None, grade: bool | None, said: Future[Judgement]) -> Row:
    return Row(where, problem.answer, judged(found, said.result()), grade)


def read_row(
    where: str, row: dict[str, Any], fields: Fields, kind: str | None
) -> tuple[Problem, list[tuple[str, bool | None]]]:
    """(the problem, its outputs with the grader's verdict on each) of a row. Raises ValueError naming the field."""
    output = _key(row, "output", fields.output, OUTPUT_NAMES)
    grader = _grader(row, fields.grader, output)
    rest = {name: value for name, value in row.items() if name not in (output, grader)}
    reference = fields.reference or _find(rest, REFERENCE_NAMES)
    asked = fields.question or _find(rest, QUESTION_NAMES)
    if not asked:
        rest["question"] = NO_QUESTION
    try:
        problem = to_problem(where, rest, fields.question, reference)
    except FieldError as error:
        raise error.renamed(answer_field="reference_field") from error
    if not asked:
        problem = replace(problem, question="")
    named = kind or rest.get("kind")
    if isinstance(named, str) and is_kind(named):
        problem = replace(problem, kind=named)
    elif problem.kind == "math" and len(problem.answer.strip("()")) == 1 and read_label(problem.answer, LETTERS):
        problem = replace(problem, kind="choice")
    texts = _flat(_get(row, output))
    grades = _flat(_get(row, grader)) if grader else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"the field {output!r} holds {_shown(_get(row, output))}, expected the text of an output")
    if len(grades) not in (0, 1, len(texts)):
        raise ValueError(f"{len(texts)} outputs in {output!r} and {len(grades)} verdicts in {grader!r}")
    said = [_grade(grader or "", grade) for grade in grades] or [None]
    return problem, list(zip(texts, said if len(said) == len(texts) else said * len(texts), strict=True))


def _grader(row: dict[str, Any], given: str | None, output: str) -> str | None:
    """The column of the grader's verdict: the one that is named, or the first of a usual name that holds verdicts."""
    if given is not None:
        return _key(row, "grader", given, ()) if given else None
    usual = (name for wanted in GRADER_NAMES if (name := _find(row, (wanted,))) and name != output)
    return next((name for name in usual if any(_verdict(one) is not None for one in _flat(row[name]))), None)


def _grade(field: str, value: Any) -> bool | None:
    said = _verdict(value)
    if said is None and value is not None and value != "":
        raise FieldError(
            "grader_field",
            "the field {} holds {}, expected a verdict such as true or 0: name another with {grader_field}, or none "
            "with {grader_field} ''",
            repr(field),
            _shown(value),
        )
    return said


def _verdict(value: Any) -> bool | None:
    word = str(value).strip().lower()
    return True if word in RIGHT else False if word in WRONG else None


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [one for part in value for one in _flat(part)]


def _key(row: dict[str, Any], what: str, given: str | None, names: tuple[str, ...]) -> str:
    fields = ", ".join(map(repr, list(row)[:12])) or "none"
    if given is not None:
        if _get(row, given) is None:
            raise ValueError(f"no field {given!r}, which --{what}-field names, the fields are {fields}")
        return given
    if found := _find(row, names):
        return found
    raise ValueError(
        f"no field for the {what} (such as {', '.join(names[:3])}), the fields are {fields}: "
        f"name it with --{what}-field"
    )


def _find(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    lower = {name.lower(): name for name in reversed(row)}
    return next((lower[name] for name in names if name in lower), None)


def _get(row: dict[str, Any], key: str) -> Any:
    """A field by its name, or one inside of another by a dotted name."""
    if key in row:
        return row[key]
    first, dot, inner = key.partition(".")
    return _get(row[first], inner) if dot and isinstance(row.get(first), dict) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
