"""Is this output right? One call for those who want nothing else: `ownwords.judge("18", "So she has 18 left.")`."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import overload

from ownwords.answers.checker import Checker, judgement, request
from ownwords.answers.choices import LETTERS, option_text
from ownwords.answers.extract import Found, split_thinking
from ownwords.answers.kind import Judgement, kind_of
from ownwords.answers.text import same_text
from ownwords.answers.worker import decided
from ownwords.records.problem import Problem

ANSWER_FROM = ("any", "boxed", "whole")


@dataclass(frozen=True)
class Judged:
    """What was made of an output."""

    verdict: str
    """`correct`, `incorrect`, `unparsable` (no answer, or none that can be read), `unverifiable` (the reference cannot
    be compared with this answer) or `timeout`"""
    answer: str
    """the answer that was found; empty for none"""
    found_by: str
    """how it was found: `boxed`, `marked`, `stated`, `printed`, `letter`, `number`, `whole`, or by a rule
    of another package; empty for none"""
    rule: str
    """what decided: `text`, `choice`, `gym`, or what the reference was read as (`number`, `formula`, ...); empty if
    nothing did"""
    reference_read: str
    """how the reference was read"""
    answer_read: str
    """how the answer was read"""


@overload
def judge(
    reference: str,
    output: str,
    kind: str = "math",
    *,
    options: Sequence[str] | None = None,
    question: str = "",
    answer_from: str = "any",
    closing: str = "</think>",
    deadline: float | None = 5.0,
) -> Judged: ...


@overload
def judge(
    reference: str | list[str],
    output: list[str],
    kind: str = "math",
    *,
    options: Sequence[str] | None = None,
    question: str = "",
    answer_from: str = "any",
    closing: str = "</think>",
    deadline: float | None = 5.0,
) -> list[Judged]: ...


def judge(
    reference: str | list[str],
    output: str | list[str],
    kind: str = "math",
    *,
    options: Sequence[str] | None = None,
    question: str = "",
    answer_from: str = "any",
    closing: str = "</think>",
    deadline: float | None = 5.0,
) -> Judged | list[Judged]:
    """Whether a model's output ends in the reference answer; of a list of outputs, whether each does.

    Args:
        reference: the right answer, as short as it can be told: `18`, `\\frac{1}{2}`, or the letter of an option.
            A list has one for each output.
        output: all that the model wrote. What stands before `closing` is thinking and is not looked at; an output that
            opens its thinking and does not close it has no answer.
        kind: `math`; `choice` for a multiple choice (options imply it); `gym:TASK` for that task's own scorer;
            or what another package has registered.
        options: of a multiple choice, in the order of their letters. The reference may be an option's text, too.
        question: read for what the reference leaves open, such as the unit that is asked for.
        answer_from: `any` way of stating an answer, the last box only (`boxed`), or the `whole` output as it is.
        closing: the tag that ends thinking.
        deadline: seconds that judging may take, in a process that is kept for the next call: an output is hostile text,
            and some expressions take forever. None judges in this process and without a deadline.

    Raises ValueError for a reference without text, an unknown kind, options that the reference does not name, and lists
    of two lengths.
    """
    if isinstance(output, str) and isinstance(reference, str):
        [said] = _judge([reference], [output], kind, options, question, answer_from, closing, deadline)
        return said
    outputs = [output] if isinstance(output, str) else output
    references = [reference] * len(outputs) if isinstance(reference, str) else reference
    if len(references) != len(outputs):
        raise ValueError(f"{len(references)} references and {len(outputs)} outputs, expected one for each")
    return _judge(references, outputs, kind, options, question, answer_from, closing, deadline)


def _judge(
    references: Sequence[str], outputs: Sequence[str], kind: str, options: Sequence[str] | None, question: str,
    answer_from: str, closing: str, deadline: float | None,
) -> list[Judged]:  # fmt: skip
    asked = []
    for reference, output in zip(references, outputs, strict=True):
        problem = as_problem(reference, kind, options, question)
        found = find_in(output, problem.kind, answer_from, closing)
        asked.append((problem, found, found.answer if found else None))
    if deadline is None:
        here = [
            judgement(problem, answer, decided(request(problem, answer)))
            if answer
            else _checker(1.0).decide(problem, answer).result()
            for problem, _, answer in asked
        ]
        return [judged(found, said) for (_, found, _), said in zip(asked, here, strict=True)]
    waiting = [(found, _checker(deadline).decide(problem, answer)) for problem, found, answer in asked]
    return [judged(found, said.result()) for found, said in waiting]


def as_problem(reference: str, kind: str = "math", options: Sequence[str] | None = None, question: str = "") -> Problem:
    """The problem that an output is to be judged by. Raises ValueError, see `judge`."""
    if not reference.strip():
        raise ValueError("the reference is empty, expected the right answer")
    if not options:
        return Problem(question, reference, kind)
    if len(options) > len(LETTERS):
        raise ValueError(f"{len(options)} options, expected at most {len(LETTERS)}")
    texts, letters = [option_text(option) for option in options], LETTERS[: len(options)]
    if reference.strip().strip("()").upper() in letters:
        letter = reference.strip().strip("()").upper()
    else:
        named = [letter for letter, text in zip(letters, texts) if same_text(text, reference)]
        if len(named) != 1:
            raise ValueError(
                f"the reference is {reference!r}, expected one of {', '.join(letters)}, or an option's text"
            )
        [letter] = named
    return Problem(question, letter, "choice", metadata={"options": texts})


def find_in(output: str, kind: str, answer_from: str, closing: str) -> Found | None:
    """The answer of an output, with its thinking or without. Raises ValueError for another `answer_from`."""
    if answer_from not in ANSWER_FROM:
        raise ValueError(f"answer_from is {answer_from!r}, expected one of {', '.join(ANSWER_FROM)}")
    if closing in output:
        output = split_thinking(output, closing)[1]
    elif output.lstrip().startswith(closing.replace("/", "", 1)) and "/" in closing:
        return None
    if answer_from == "whole":
        return Found(output.strip(), "whole") if output.strip() else None
    return kind_of(kind).find(output, answer_from)


def judged(found: Found | None, said: Judgement) -> Judged:
    """Both halves as one record."""
    answer, rule = (found.answer, found.rule) if found else ("", "")
    return Judged(said.verdict, answer, rule, said.rule, said.reference, said.answer)


@cache
def _checker(deadline: float) -> Checker:
    """One process per deadline, started when an answer needs it; it ends with this one."""
    checker = Checker(workers=1, deadline=deadline)
    atexit.register(checker.close)
    return checker
