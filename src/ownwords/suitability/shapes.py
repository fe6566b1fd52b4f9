"""The shapes in which public trace sets come, one row at a time. The first row of a set decides which one it is.

* `generations`: a problem with a list of texts (OpenR1-Math, our own `problems` export), or one text, `generation`;
* `messages` or `conversations`: a chat that ends with the assistant's turn (OpenThoughts, most of the Hub);
* `prompt` + `completion`: text that is read as it stands, or chats, as TRL has them;
* thinking + solution: a problem with `thinking` and `solution` columns, or several writers' columns side by side
  (`deepseek_thinking_trajectory` + `deepseek_attempt`, `gemini_...`, s1K-1.1; `deepseek_reasoning` +
  `deepseek_solution`, OpenThoughts): one trace each;
* `input_ids` + `labels`: ids that are trained on, as our `sft` export has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ownwords.problems.fields import QUESTION_NAMES
from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import FORCED, UNKNOWN
from ownwords.suitability.ends import ended

Row = dict[str, Any]
Message = dict[str, str]

IGNORED = -100
THINKING = re.compile(r"(?:(?P<who>.+)_)?(?:thinking|reasoning|thinking_trajectory|thinking_trajectories)")
ANSWERS = ("attempt", "solution", "response")
"""what the answer after the thinking is called, perhaps behind the writer's name; s1K's own `solution` is a reference
beside the `attempt`"""
SOURCES = ("model", "teacher", "generator", "source")
"""columns that say who wrote a trace, or where its problem is from"""
CORRECT = {True: "correct", False: "incorrect", "Yes": "correct", "No": "incorrect"}


@dataclass(frozen=True)
class TextTrace:
    """A trace that has to be tokenised."""

    prompt: str | list[Message]
    """text that is read as it stands, or the turns before, for the student's chat template"""
    thinking: str | None
    """the text between the think tags; None where the answer holds all"""
    answer: str
    source: str
    verdict: str = "unverifiable"
    ended: bool = True
    """the end-of-turn token belongs to it"""

    @property
    def question(self) -> str:
        """What a problem is told by, the same in every set that has it."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[-1]["content"]


@dataclass(frozen=True)
class IdTrace:
    """A trace that is token ids already."""

    tokens: Tokens
    source: str
    verdict: str = "unverifiable"
    problem_id: str = ""
    """empty where the set names none"""


@dataclass(frozen=True)
class Where:
    """A row, for messages and for traces that do not name their source."""

    place: str
    source: str


@dataclass(frozen=True)
class Shape:
    """How the rows of one set are read."""

    name: str
    read: Callable[[Where, Row], Iterator[TextTrace | IdTrace]]

    def traces(self, where: Where, row: Row) -> list[TextTrace | IdTrace]:
        """The traces of one row. Raises ValueError naming the row and the field that does not fit."""
        try:
            return list(self.read(where, row))
        except ValueError as error:
            fields = ", ".join(map(repr, list(row)[:12])) or "none"
            raise ValueError(
                f"{where.place}: {error}; the set has the shape {self.name} by its first row, this one has {fields}"
            ) from None


def shape_of(where: Where, row: Row) -> Shape:
    """The shape that a set's first row has. Raises ValueError where it is none of those above."""
    if "input_ids" in row:
        return Shape("input_ids + labels", _ids)
    if "generations" in row:
        return Shape("problem + generations", _generations)
    for name in ("messages", "conversations"):
        if name in row:
            return Shape(name, partial(_conversation, name))
    writers = {match["who"]: name for name in row if (match := THINKING.fullmatch(name))}
    answers = {who: next((a for a in ANSWERS if _of(who, a) in row), None) for who in writers}
    if whole := {who: (writers[who], answer) for who, answer in answers.items() if answer}:
        return Shape("problem + thinking + solution", partial(_thinking, whole))
    if "generation" in row:
        return Shape("problem + generation", _generation)
    if "prompt" in row or "completion" in row:
        return Shape("prompt + completion", _prompt_completion)
    if writers:
        halves = {who: (name, "solution") for who, name in writers.items()}
        return Shape("problem + thinking + solution", partial(_thinking, halves))
    fields = ", ".join(map(repr, list(row)[:12])) or "none"
    raise ValueError(
        f"{where.place}: no shape of a trace set fits, the fields are {fields}: "
        "expected messages, prompt + completion, problem + thinking + solution, problem + generations, or "
        "input_ids + labels"
    )


def _generations(where: Where, row: Row) -> Iterator[TextTrace]:
    problem, texts = _problem(row), _field(row, "generations", list, "a list of texts")
    verdicts = row.get("correctness_math_verify") or [None] * len(texts)
    if not isinstance(verdicts, list) or len(verdicts) != len(texts):
        raise ValueError(
            f"the field 'correctness_math_verify' does not have a value for each of the {len(texts)} generations"
        )
    for text, verdict, whole in zip(texts, verdicts, ended(row, len(texts)), strict=True):
        if not isinstance(text, str):
            raise ValueError(f"the field 'generations' holds a {type(text).__name__}, expected texts")
        yield TextTrace(problem, None, text, _source(where, row), _verdict(verdict), whole)


def _generation(where: Where, row: Row) -> Iterator[TextTrace]:
    yield TextTrace(
        _problem(row), None, _field(row, "generation", str, "text"), _source(where, row), _verdict(row.get("correct")),
        *ended(row),
    )  # fmt: skip


def _conversation(name: str, where: Where, row: Row) -> Iterator[TextTrace]:
    messages = _messages(row, name)
    if isinstance(row.get("system"), str) and row["system"] and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": row["system"]})
    yield _last_turn(where, row, name, messages)


def _prompt_completion(where: Where, row: Row) -> Iterator[TextTrace]:
    if isinstance(row.get("prompt"), list):
        messages = _messages(row, "prompt") + _messages(row, "completion")
        yield _last_turn(where, row, "completion", messages)
    else:
        prompt, completion = _field(row, "prompt", str, "text"), _field(row, "completion", str, "text")
        yield TextTrace(prompt, None, completion, _source(where, row), _verdict(row.get("correct")), *ended(row))


def _thinking(columns: dict[str | None, tuple[str, str]], where: Where, row: Row) -> Iterator[TextTrace]:
    problem = _problem(row)
    for who, (name, answer) in columns.items():
        thinking = row.get(name)
        if isinstance(thinking, list) and len(thinking) == 1:  # s1K lists its one trajectory
            thinking = thinking[0]
        thinking = _field({**row, name: thinking} if name in row else row, name, str, "text")
        verdict = _verdict(row.get("correct") if who is None else row.get(f"{who}_grade"))
        text = _field(row, _of(who, answer), str, "text")
        whole = ended(row, prefix="" if who is None else f"{who}_")
        yield TextTrace(problem, thinking, text, who or _source(where, row), verdict, *whole)


def _ids(where: Where, row: Row) -> Iterator[IdTrace]:
    ids, labels = (_id_list(row, name) for name in ("input_ids", "labels"))
    if len(ids) != len(labels):
        raise ValueError(f"'input_ids' has {len(ids)} entries and 'labels' has {len(labels)}, expected as many")
    learned = labels != IGNORED
    start = int(np.argmax(learned)) if learned.any() else len(ids)
    yield IdTrace(
        Tokens(
            prompt_ids=ids[:start],
            token_ids=ids[start:],
            source=np.where(learned[start:], UNKNOWN, FORCED),  # what carries no loss is as good as forced
        ),
        source=_source(where, row),
        verdict=_verdict(row.get("correct")),
        problem_id=str(row.get("problem_id") or ""),
    )


def _id_list(row: Row, name: str) -> np.ndarray:
    values = _field(row, name, list, "a list of ids")
    try:
        return np.asarray(values, np.int32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the field {name!r} holds other things than ids") from None


def _last_turn(where: Where, row: Row, name: str, messages: list[Message]) -> TextTrace:
    *before, last = messages
    if last["role"] != "assistant" or not before:
        raise ValueError(
            f"the field {name!r} ends with the turn of {last['role']!r} after {len(before)} others, "
            "expected the assistant's after a user's"
        )
    flags = [row, *[turn for turn in row[name][-1:] if isinstance(turn, dict)]]  # a turn may have its own
    whole = all(flag for one in flags for flag in ended(one))
    return TextTrace(
        before, last.get("thinking"), last["content"], _source(where, row), _verdict(row.get("correct")), whole
    )


def _messages(row: Row, name: str) -> list[Message]:
    """Turns with `role`, `content` and perhaps `thinking`, from the spellings in use."""
    turns = _field(row, name, list, "a list of turns")
    return [_message(turn, f"{name}[{number}]") for number, turn in enumerate(turns)] or _fail(
        f"the field {name!r} has no turns"
    )


def _message(turn: Any, name: str) -> Message:
    if not isinstance(turn, dict):
        raise ValueError(f"the field '{name}' holds a {type(turn).__name__}, expected a turn with role and content")

    def said(key: str, old: str) -> str:
        value = turn.get(key, turn.get(old))
        if not isinstance(value, str):
            raise ValueError(f"no field '{name}.{key}' with text")
        return value

    role, content = said("role", "from"), said("content", "value")
    message = {"role": {"human": "user", "gpt": "assistant"}.get(role, role), "content": content}
    thinking = next((turn[key] for key in ("reasoning_content", "thinking", "reasoning") if turn.get(key)), None)
    return {**message, "thinking": thinking} if isinstance(thinking, str) else message


def _problem(row: Row) -> list[Message]:
    name = next((name for name in QUESTION_NAMES if name in row), None)
    if name is None:
        raise ValueError(f"no field for the problem (such as {', '.join(QUESTION_NAMES[:3])})")
    return [{"role": "user", "content": _field(row, name, str, "text")}]


def _field(row: Row, name: str, kind: type, expected: str) -> Any:
    if row.get(name) is None:
        raise ValueError(f"no field {name!r}" if name not in row else f"the field {name!r} is empty")
    if not isinstance(row[name], kind):
        raise ValueError(f"the field {name!r} holds a {type(row[name]).__name__}, expected {expected}")
    return row[name]


def _source(where: Where, row: Row) -> str:
    return next((row[name] for name in SOURCES if isinstance(row.get(name), str) and row[name]), where.source)


def _verdict(value: Any) -> str:
    return CORRECT.get(value, "unverifiable") if isinstance(value, bool | str) else "unverifiable"


def _of(who: str | None, name: str) -> str:
    return name if who is None else f"{who}_{name}"


def _fail(message: str) -> Any:
    raise ValueError(message)
