"""Multiple choice: which letter an answer names, by itself, by its option's label or by the text of its option."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ownwords.answers.text import same_text, tidy

LETTERS = "ABCDEFGHIJ"
SAID = r"(?:the )?(?:correct |final |right |best )?(?P<said>answer|option|choice)?(?: is)?:? ?"
AFTER = r"(?:(?P<mark>[.):]| ?[-–—] )|(?![a-zA-Z0-9]))[.:]? ?(?P<rest>.*)"
REASON = re.compile(r"^,? ?(?:because|since)\b.*", re.IGNORECASE | re.DOTALL)
SECOND = re.compile(r"(?:or|and|[,/&]) ?\(?[a-z0-9]\)?(?![a-z0-9])", re.IGNORECASE)
"""what names another label"""


def read_label(answer: str, labels: Sequence[str]) -> tuple[int, str, bool, bool] | None:
    """(place, the text after it, whether a mark parts the two, whether it is plainly a label) where an answer begins
    with an option's label: `B`, `(b)`, `Option B`, `B) 10`, `B - 10`, `B 10`. A label alone is not plainly one."""
    known = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    pattern = rf"{SAID}(?:\( ?(?P<round>{known}) ?\)[.:]?(?: ?[-–—] )? ?(?P<after>.*)|(?P<bare>{known}){AFTER})"
    found = re.fullmatch(pattern, _plain(answer), re.IGNORECASE | re.DOTALL)
    if not found:
        return None
    rest = REASON.sub("", (found["after"] or found["rest"] or "").strip())
    if SECOND.match(rest):
        return None
    label = (found["round"] or found["bare"]).upper()
    place = [one.upper() for one in labels].index(label)
    marked = bool(found["round"] or found["mark"])
    return place, rest, marked, marked or bool(rest or found["said"])


def read_letter(key: str, letters: str = LETTERS) -> tuple[int, str] | None:
    """(place, the text after it) of a key that begins with an option's letter, and with a mark if a text follows."""
    found = read_label(key, letters)
    if found is None:
        return None
    place, rest, marked, _ = found
    return None if rest and not marked else (place, rest)


def _plain(answer: str) -> str:
    return re.sub(r"^\[(\w)\]$", r"\1", tidy(answer).strip("*` "))


def option_text(option: str) -> str:
    """An option without the letter that it may begin with."""
    found = re.match(r"\s*\(?[A-Ja-j][.):]\s*(.+)", option, re.DOTALL)
    return found[1] if found else option


def judge_choice(
    reference: str,
    answer: str,
    options: Sequence[str],
    labels: Sequence[str],
    same: Callable[[str, str], bool],
) -> tuple[str, str, str]:
    """(verdict, the right letter, the letter that was read) of an answer to a multiple-choice question.

    `options` in the order of their letters, empty where they are not known; `labels` are the source's own where they
    are not letters; `same` compares an option with an answer. A letter whose text is another option's, a label that is
    another option's text as well, and an answer that is none of the options are `unparsable`.
    """
    letters = LETTERS[: len(options)] if options else LETTERS
    right = read_label(reference, LETTERS)
    if right is None:
        return "unverifiable", "", ""
    texts = [option_text(option) for option in options]
    place = _place(answer, letters, labels, texts, same)
    if place is None:
        return "unparsable", LETTERS[right[0]], ""
    return "correct" if place == right[0] else "incorrect", LETTERS[right[0]], LETTERS[place]


def _place(
    answer: str, letters: str, labels: Sequence[str], texts: Sequence[str], same: Callable[[str, str], bool]
) -> int | None:
    for known in (letters, labels):
        found = read_label(answer, known) if known else None
        if found is None:
            continue
        place, rest, marked, plainly = found
        own = not rest or (place < len(texts) and same(texts[place], rest))
        if not own and not marked:  # `a square`, `A or B`
            continue
        if not own and place < len(texts):
            return None
        if known is labels and not plainly:
            others = [i for i, text in enumerate(texts) if same_text(text, answer) and i != place]
            return None if others else place
        return place
    places = [i for i, text in enumerate(texts) if same_text(text, answer)]
    places = places or [i for i, text in enumerate(texts) if same(text, answer)]
    return places[0] if len(places) == 1 else None
