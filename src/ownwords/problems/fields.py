"""From the fields of a row to a problem. Field names are guessed from those that people use, and can be given.

The layouts that are read as they are: GSM8K (`#### n`), MATH and MATH-500 (the box of the solution), AIME, s1K-1.1 (the
solution is the answer), LIMO, OpenR1-Math, DAPO (messages and `reward_model.ground_truth`), SVAMP, MAWPS,
OlympiadBench, and multiple choice as AQuA, MMLU, MMLU-Pro, MedQA, MathQA, ARC and GPQA have it, or NuminaMath in the
question itself.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ownwords.answers.choices import LETTERS
from ownwords.answers.extract import last_boxed
from ownwords.configuration import FieldError
from ownwords.problems.alternatives import INDEX_NAMES, key_place, read_options
from ownwords.problems.lettered import choice_within
from ownwords.records.problem import Problem

QUESTION_NAMES = ("question", "problem", "query", "prompt", "instruction", "input")
ANSWER_NAMES = (
    "answer", "final_answer", "expected_answer", "ground_truth", "reward_model.ground_truth", "target", "label",
    "answerkey", "correct", "correct answer", "correct_answer", *INDEX_NAMES,
)  # fmt: skip
SOLUTION_NAMES = ("solution", "rationale", "reasoning", "explanation")
LONGEST = 10**6
"""characters of a question: more than any model reads, and tokenising takes minutes"""
THOUSANDS = re.compile(r"[-+$]*\d{1,3}(,\d{3})+(\.\d+)?")
ASKED_FORM = re.compile(
    r"Solve the following math problem step by step\.[^\n]*\n+|\n+Remember to put your answer on its own line after "
    r'"Answer:"\.\s*$'
)
"""DAPO's words around each question, which ask for another form of answer than the system prompt does"""


def to_problem(source: str, row: dict[str, Any], question_field: str | None, answer_field: str | None) -> Problem:
    """The problem of a row; `source` names its set. The reference is taken as short as it can be told: what follows
    GSM8K's `####`, or what the last `\\boxed{}` holds. Raises ValueError naming the field."""
    question = _question(row, question_field)
    told = [k for k in row if k.lower() in SOLUTION_NAMES and isinstance(row[k], str)]
    solution = row[told[0]] if told else ""
    alone = answer_field is None and solution.strip() and not _find(row, ANSWER_NAMES)
    if alone and (told[0].lower() == "solution" or last_boxed(solution)):  # the box of MATH; s1K's is the answer itself
        answer_key = told[0]
    else:
        answer_key = _key(row, "answer", answer_field, ANSWER_NAMES)
    answer = _get(row, answer_key)
    if options := read_options(row):
        right = LETTERS[key_place(options, row, answer_key, answer)]
        lines = [f"{letter}) {text}" for letter, text in zip(LETTERS, options.texts)]
        shown = choice_within(question, right) == (right, options.texts)  # the question has them already
        asked = question if shown else "\n".join([question, "", *lines])
        problem = Problem(asked, right, "choice", source, solution, options.metadata)
    else:
        if isinstance(answer, list):  # OlympiadBench lists the answers of a question
            answer = ", ".join(map(str, answer))
        reference, worked = _reference(answer)
        if not reference:
            raise ValueError(f"no reference answer, the field {answer_key!r} holds {answer!r}")
        given = "" if solution == reference else solution or worked
        if choice := choice_within(question, reference):
            problem = Problem(question, choice[0], "choice", source, given, {"options": choice[1]})
        else:
            problem = Problem(question, reference, source=source, solution=given)
    if len(problem.question) > LONGEST:
        seen, most = len(problem.question), LONGEST
        raise ValueError(f"a question of {seen:,} characters, expected at most {most:,}: is it another field?")
    try:
        "".join([problem.question, problem.answer, problem.solution]).encode()
    except UnicodeEncodeError as error:  # JSON can spell half a character, which no hash, store or tokenizer takes
        raise ValueError(f"{error.object[error.start]!r} is half a character: not UTF-8") from error
    return problem


def _question(row: dict[str, Any], field: str | None) -> str:
    key = _key(row, "question", field, QUESTION_NAMES)
    question = _get(row, key)
    if isinstance(question, dict) and isinstance(question.get("stem"), str):  # the original ARC
        question = question["stem"]
    if isinstance(question, list) and question and all(isinstance(m, dict) for m in question):  # messages
        question = next((m.get("content") for m in reversed(question) if m.get("role") == "user"), None)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"the field {key!r} holds {question!r}, expected the text of a question")
    body = row.get("Body")  # SVAMP tells the story and asks the question in two fields
    if key == "Question" and isinstance(body, str):
        question = f"{body.strip().rstrip('.')}. {question}"
    return ASKED_FORM.sub("", question)


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


def _key(row: dict[str, Any], what: str, given: str | None, names: tuple[str, ...]) -> str:
    if given is not None:
        if _get(row, given, missing := object()) is missing:
            message = f"no field {{}}, which {{{what}_field}} names, the fields are {{}}"
            raise FieldError(f"{what}_field", message, repr(given), _fields(row))
        return given
    if found := _find(row, names):
        return found
    message = f"no field for the {what} (such as {{}}), the fields are {{}}: name it with {{{what}_field}}"
    raise FieldError(f"{what}_field", message, ", ".join(names[:3]), _fields(row))


def _find(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    lower = {key.lower(): key for key in reversed(row)}
    for name in names:
        first, _, inner = name.partition(".")
        if first in lower and (not inner or (isinstance(row[lower[first]], dict) and inner in row[lower[first]])):
            return lower[first] + (f".{inner}" if inner else "")
    return None


def _get(row: dict[str, Any], key: str, default: Any = None) -> Any:
    """A field by its name, or one inside of another by a dotted name."""
    if key in row:
        return row[key]
    first, dot, inner = key.partition(".")
    return _get(row[first], inner, default) if dot and isinstance(row.get(first), dict) else default


def _fields(row: dict[str, Any]) -> str:
    return ", ".join(map(repr, list(row)[:12])) or "none"
