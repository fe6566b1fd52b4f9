"""Is this answer right? Runs in a worker process: the answer is hostile text and the judges are large libraries.

In this order: a reasoning-gym task's own scorer; the letter of a multiple choice; equal text; and what both texts are
read as (numbers with units, times, lists, intervals, relations, formulas, ...), compared part by part and exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ownwords.answers.choices import judge_choice
from ownwords.answers.quantity import read_quantity
from ownwords.answers.text import is_words, same_text, tidy

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
    ...); `language`, `unread` or `size` where nothing could be compared"""
    reference: str
    """how the reference was read, in short printable text"""
    answer: str
    """how the answer was read"""


def judge(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The verdict alone, see `Judgement`."""
    return decide(kind, reference, answer, question, metadata).verdict


def decide(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
    """The verdict on an answer, with the rule that decided and the reading of both sides."""
    if kind.startswith("gym:"):
        verdict = _gym(kind.removeprefix("gym:"), reference, answer, question, metadata)
        return Judgement(verdict, "gym", _short(reference), _short(answer))
    if kind == "choice":
        verdict, right, chosen = judge_choice(
            reference, answer, metadata.get("options", ()), metadata.get("labels", ()), _same_option
        )
        return Judgement(verdict, "choice", right, _short(chosen or answer))
    if same_text(reference, answer):
        return Judgement("correct", "text", _short(tidy(reference)), _short(tidy(answer)))
    return by_mathematics(reference, answer, question)


def is_language(text: str) -> bool:
    """Whether a reference or an answer is words, and neither a quantity nor a formula."""
    return is_words(text) and read_quantity(text) is None


def by_mathematics(reference: str, answer: str, question: str = "") -> Judgement:
    """The verdict on what both texts are read as."""
    from ownwords.answers.equal import same
    from ownwords.answers.reading import read
    from ownwords.answers.things import kind_of, show

    shown = _short(reference), _short(answer)
    try:
        expected = read(tidy(reference, units=True))
        if expected is None:
            return Judgement("unverifiable", "language" if is_language(reference) else "unread", *shown)
        shown = _short(show(expected)), shown[1]
        given = read(tidy(answer, units=True))
        if given is None:
            return Judgement("unparsable", "language" if is_language(answer) else "unread", *shown)
        shown = shown[0], _short(show(given))
        verdict = "correct" if same(expected, given, question) else "incorrect"
    except OverflowError:  # numbers that no memory holds
        return Judgement("unverifiable", "size", *shown)
    return Judgement(verdict, kind_of(expected), *shown)


def _same_option(option: str, answer: str) -> bool:
    return same_text(option, answer) or by_mathematics(option, answer).verdict == "correct"


def _short(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= SHORT else printable[: SHORT - 3] + "..."


def _gym(task: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The task's own scorer. Only its full score counts: some give 0.01 for any number."""
    import reasoning_gym

    scorer = reasoning_gym.get_score_answer_fn(task)
    entry = {"question": question, "answer": reference, "metadata": metadata}
    return "correct" if scorer(answer, entry) == 1.0 else "incorrect"
