"""What kind of thing an answer is: how it is found in a text, and compared with the reference.

A kind is written `NAME` or `NAME:TASK`. Each is a small class, an entry point of `ownwords.judges`: made with the text
behind the colon, it finds answers in our process and compares them in a worker with a deadline and little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ownwords.answers.extract import Found, find_answer
from ownwords.io.plugins import load_plugin, plugins

GROUP = "ownwords.judges"
SHORT = 120
"""characters of a reading that is shown"""


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what it rests on."""

    verdict: str
    """`correct`, `incorrect`, `unparsable` (the answer says nothing that the rules can read) or `unverifiable` (the
    reference is language: only the very words are known to be right)"""
    rule: str
    """what decided: `gym`, `choice`, `text`, or what the reference was read as (`number`, `formula`, `list`, `region`,
    ...); `language`, `unread` or `size` if nothing could be compared; the name of a kind of another package"""
    reference: str
    """how the reference was read, in short printable text"""
    answer: str
    """how the answer was read"""


class Kind:
    """A kind of answer. To add one, override `compare`, and `find` if our rules do not find its answers."""

    form: Literal["math", "choice", "free"] = "free"
    """what our rules for finding an answer look for: mathematics, an option's letter, or a text of any form"""
    library = ""
    """a module that comparing takes and that is slow to load: a worker loads it before a deadline runs"""
    many_right = False
    """several answers may be right that are not equal to each other; those that are wrong then vote by their texts"""

    def __init__(self, name: str, task: str) -> None:
        """`task`: the text behind the colon. Raise ValueError if it is wrong."""
        self.name, self.task = name, task

    def find(self, text: str, answer_from: str) -> Found | None:
        """The answer in a text that a model wrote, its thinking cut off; `answer_from`: `boxed`, or `any` way of
        stating one."""
        return find_answer(text, self.form, answer_from)

    def compare(self, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> bool:
        """Whether the answer is right. Any exception says that it cannot be read (`unparsable`)."""
        raise NotImplementedError

    def decide(self, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
        """The verdict, with what it rests on."""
        right = self.compare(reference, answer, question, metadata)
        return Judgement("correct" if right else "incorrect", self.name, short(reference), short(answer))


@cache
def kind_of(kind: str) -> Kind:
    """The kind that is written `NAME` or `NAME:TASK`. Raises ValueError in one line for an unknown or a wrong one."""
    name, _, task = kind.partition(":")
    make: Callable[[str, str], Kind] = load_plugin(GROUP, name, "kind of answer")
    return make(name, task)


def is_kind(kind: str) -> bool:
    """Whether a kind of this name is registered."""
    return kind.partition(":")[0] in plugins(GROUP)


def check_kinds(kinds: Iterable[str]) -> None:
    """Raises ValueError for a kind that is unknown, or that cannot be imported."""
    for kind in set(kinds):
        kind_of(kind)


def short(text: str) -> str:
    """A text as it is shown: printable and not long."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= SHORT else printable[: SHORT - 3] + "..."
