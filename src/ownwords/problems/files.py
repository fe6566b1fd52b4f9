"""Problems from JSONL files. Field names are guessed from those that people use, and can be given."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ownwords.answers.extract import last_boxed
from ownwords.problems.problem import Problem

QUESTION_NAMES = ("question", "problem", "query", "prompt", "instruction", "input")
ANSWER_NAMES = ("answer", "final_answer", "expected_answer", "ground_truth", "target", "label")
SOLUTION_NAMES = ("solution", "rationale", "reasoning", "explanation")
THOUSANDS = re.compile(r"[-+$]*\d{1,3}(,\d{3})+(\.\d+)?")


def read_jsonl(path: Path, question_field: str | None = None, answer_field: str | None = None) -> list[Problem]:
    """One problem per line. A question that recurs counts once.

    A reference is taken as short as it can be told: what follows GSM8K's `####`, or what the last `\\boxed{}` holds.
    Raises ValueError naming file, line and field.
    """
    problems: dict[str, tuple[int, Problem]] = {}
    for number, row in json_rows(path):
        problem = _problem(f"{path}, line {number}", path.name, row, question_field, answer_field)
        before, known = problems.setdefault(problem.id, (number, problem))
        if known.answer != problem.answer:
            raise ValueError(
                f"{path}: lines {before} and {number} have one question and two answers "
                f"({known.answer!r} and {problem.answer!r}): expected one; remove a line"
            )
    if not problems:
        raise ValueError(f"{path} is empty: expected a JSON object per line, with a question and an answer")
    return [problem for _, problem in problems.values()]


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their line numbers. Raises ValueError naming file and line."""
    if not path.exists():
        raise ValueError(f"{path}: no such file, expected a .jsonl file with a question and an answer per line")
    if path.is_dir():
        raise ValueError(f"{path} is a directory, expected a .jsonl file")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from error
            except (ValueError, RecursionError) as error:  # also a number of too many digits
                raise ValueError(f"{path}, line {number}: not JSON ({error}), expected one object per line") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: a JSON {type(row).__name__}, expected an object")
            yield number, row


def _problem(
    where: str, source: str, row: dict[str, Any], question_field: str | None, answer_field: str | None
) -> Problem:
    question_key = _key(where, row, "question", question_field, QUESTION_NAMES)
    question = row[question_key]
    body = row.get("Body")  # SVAMP tells the story and asks the question in two fields
    if question_key == "Question" and isinstance(body, str) and isinstance(question, str):
        question = f"{body.strip().rstrip('.')}. {question}"
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"{where}: the field {question_key!r} holds {question!r}, expected the text of a question")
    solution = next((row[k] for k in row if k.lower() in SOLUTION_NAMES and isinstance(row[k], str)), "")
    if answer_field is None and last_boxed(solution) and not any(k.lower() in ANSWER_NAMES for k in row):
        answer_key, answer = "solution", solution
    else:
        answer_key = _key(where, row, "answer", answer_field, ANSWER_NAMES)
        answer = row[answer_key]
        if isinstance(answer, list):  # OlympiadBench lists the answers of a question
            answer = ", ".join(map(str, answer))
    reference, worked = _reference(answer)
    if not reference:
        raise ValueError(f"{where}: no reference answer, the field {answer_key!r} holds {answer!r}")
    solution = solution or worked
    try:
        (question + reference + solution).encode()
    except UnicodeEncodeError as error:  # JSON can spell half a character, which no hash, store or tokenizer takes
        raise ValueError(f"{where}: {error.object[error.start]!r} is half a character: not UTF-8") from error
    return Problem(question=question, answer=reference, source=source, solution=solution)


def _reference(answer: Any) -> tuple[str, str]:
    """(the short answer, the worked text around it) of what an answer field holds; an empty answer if it has none."""
    if answer is None or isinstance(answer, dict | bool) or (isinstance(answer, float) and not math.isfinite(answer)):
        return "", ""
    text = str(int(answer) if isinstance(answer, float) and answer.is_integer() else answer).strip()
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed, text
    worked, mark, last = text.rpartition("####")
    last = last.strip()
    if not mark or "\n" in last:  # no mark, or a heading
        return text, ""
    return last.replace(",", "") if THOUSANDS.fullmatch(last) else last, worked.strip()


def _key(where: str, row: dict[str, Any], what: str, given: str | None, names: tuple[str, ...]) -> str:
    if given is not None:
        if given not in row:
            raise ValueError(f"{where}: no field {given!r}, which --{what}-field names, the fields are {_fields(row)}")
        return given
    lower = {key.lower(): key for key in reversed(row)}
    for name in names:
        if name in lower:
            return lower[name]
    raise ValueError(
        f"{where}: no field for the {what} (such as {', '.join(names[:3])}), the fields are {_fields(row)}: "
        f"name it with --{what}-field"
    )


def _fields(row: dict[str, Any]) -> str:
    return ", ".join(map(repr, list(row)[:12])) or "none"
