"""Multiple choice: which letter an answer names, by itself or by the text of its option."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ownwords.answers.text import same_text, tidy

LETTERS = "ABCDEFGHIJ"
NAMED = re.compile(
    r"(?:the )?(?:correct |final |right )?(?:answer|option|choice)?(?: is)?:? ?"
    r"(?:\((?P<round>[a-j])\)|(?P<bare>[a-j])(?:(?P<mark>[.):])|(?![a-z0-9])))[.:]? ?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)


def read_letter(answer: str) -> tuple[str, str] | None:
    """(letter, the text after it) where an answer begins with an option's name: `B`, `(b)`, `Option B`, `B) 10`."""
    found = NAMED.fullmatch(tidy(answer))
    if not found:
        return None
    rest = found["rest"].strip()
    if rest and not (found["round"] or found["mark"]):
        return None  # `a square`, `A or B`
    return (found["round"] or found["bare"]).upper(), rest


def option_text(option: str) -> str:
    """An option without the letter that it may begin with."""
    found = re.match(r"\s*\(?[A-Ja-j][.):]\s*(.+)", option, re.DOTALL)
    return found[1] if found else option


def judge_choice(reference: str, answer: str, options: Sequence[str], same: Callable[[str, str], bool]) -> str:
    """The verdict on an answer to a multiple-choice question.

    `options` in the order of their letters, empty where they are not known; `same` compares an option with an answer.
    A letter whose text is another option's, and an answer that is none of the options, are `unparsable`.
    """
    right = read_letter(reference)
    if right is None:
        return "unverifiable"
    texts = [option_text(option) for option in options]
    found = read_letter(answer)
    if found is None:
        letters = [letter for letter, text in zip(LETTERS, texts) if same_text(text, answer)]
        letters = letters or [letter for letter, text in zip(LETTERS, texts) if same(text, answer)]
        if len(letters) != 1:
            return "unparsable"
        return "correct" if letters[0] == right[0] else "incorrect"
    letter, rest = found
    place = LETTERS.index(letter)
    if rest and place < len(texts) and not (same_text(texts[place], rest) or same(texts[place], rest)):
        return "unparsable"
    return "correct" if letter == right[0] else "incorrect"
