"""Is this answer right? Runs in a worker process: the answer is hostile text and the judges are large libraries.

Our kinds of answers: a reasoning-gym task's own scorer; the letter of a multiple choice; and mathematics, which is
equal text, or what both texts are read as (numbers with units, times, lists, intervals, relations, formulas, ...),
compared part by part and exactly.
"""

from __future__ import annotations

from typing import Any

from ownwords.answers.choices import judge_choice
from ownwords.answers.kind import Judgement, Kind, kind_of, short
from ownwords.answers.quantity import read_quantity
from ownwords.answers.text import is_words, same_text, tidy


class Gym(Kind):
    """`gym:TASK`: the own scorer of a reasoning-gym task. Only its full score counts: some give 0.01 for any number."""

    library = "reasoning_gym"
    many_right = True

    def compare(self, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> bool:
        import reasoning_gym

        scorer = reasoning_gym.get_score_answer_fn(self.task)
        return scorer(answer, {"question": question, "answer": reference, "metadata": metadata}) == 1.0


class Choice(Kind):
    """`choice`: an option's letter, or its text."""

    form = "choice"

    def decide(self, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
        verdict, right, chosen = judge_choice(
            reference, answer, metadata.get("options", ()), metadata.get("labels", ()), _same_option
        )
        return Judgement(verdict, self.name, right, short(chosen or answer))


class Mathematics(Kind):
    """`math`: numbers, formulas, and words."""

    form = "math"

    def decide(self, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
        if same_text(reference, answer):
            return Judgement("correct", "text", short(tidy(reference)), short(tidy(answer)))
        return by_mathematics(reference, answer, question)


def judge(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The verdict alone, see `Judgement`."""
    return decide(kind, reference, answer, question, metadata).verdict


def decide(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
    """The verdict on an answer, with the rule that decided and the reading of both sides."""
    return kind_of(kind).decide(reference, answer, question, metadata)


def is_language(text: str) -> bool:
    """Whether a reference or an answer is words, and neither a quantity nor a formula."""
    return is_words(text) and read_quantity(text) is None


def by_mathematics(reference: str, answer: str, question: str = "") -> Judgement:
    """The verdict on what both texts are read as."""
    from ownwords.answers.equal import same
    from ownwords.answers.reading import read
    from ownwords.answers.things import kind_of, show

    shown = short(reference), short(answer)
    try:
        expected = read(tidy(reference, units=True))
        if expected is None:
            return Judgement("unverifiable", "language" if is_language(reference) else "unread", *shown)
        shown = short(show(expected)), shown[1]
        given = read(tidy(answer, units=True))
        if given is None:
            return Judgement("unparsable", "language" if is_language(answer) else "unread", *shown)
        shown = shown[0], short(show(given))
        verdict = "correct" if same(expected, given, question) else "incorrect"
    except OverflowError:  # numbers that no memory holds
        return Judgement("unverifiable", "size", *shown)
    return Judgement(verdict, kind_of(expected), *shown)


def _same_option(option: str, answer: str) -> bool:
    return same_text(option, answer) or by_mathematics(option, answer).verdict == "correct"
