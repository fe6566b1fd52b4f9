"""From a completion to its answer: pure functions on text, linear in its length.

An answer is boxed, or stated (`The answer is 18`, `#### 18`, `<answer> B </answer>`), or it is what the last sentence
concludes in. What cannot be read for sure is no answer: a wrong answer that is taken for right costs more than a right
one that is missed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ownwords.answers.boxes import OPENING, find_boxes, last_boxed
from ownwords.answers.ending import ending, own_part, own_turn, without_code
from ownwords.answers.stated import RETRACTED, plain, statements

__all__ = ["Found", "extract_answer", "find_answer", "last_boxed", "split_thinking"]
ALTERNATING = 6
"""statements at the end of a text; two answers that take turns in them are a loop"""


def split_thinking(text: str, closing: str | None = "</think>") -> tuple[str, str]:
    """(thinking, answer text): what stands before and after the first `closing` tag, the tag in neither.

    A text that never closes its thinking has no answer text. With `closing` None (a model that does not think) all of
    it is answer text.
    """
    if closing is None:
        return "", text
    thinking, _, answer_text = text.partition(closing)
    return thinking, answer_text


@dataclass(frozen=True)
class Found:
    """An answer and the rule that found it."""

    answer: str
    rule: str
    """`boxed`, `marked` (`#### 18`), `stated` (`the answer is 18`), `printed` (by code), `letter` or `number`"""


def extract_answer(answer_text: str) -> str | None:
    """What the last box holds; None where there is no box or an empty one."""
    return last_boxed(answer_text) or None


def find_answer(answer_text: str, form: str = "math", answer_from: str = "boxed") -> Found | None:
    """The final answer with the rule that found it: what the last box holds, if anything.

    With `answer_from` = `any`, a text that has no box at all is read by the first of these rules that finds something:
    the last statement of an answer; what code has printed at the end; an option's letter on a line of its own, for a
    multiple choice (`form` = `choice`); what the last sentence concludes in, for anything else. With `form` = `free`,
    what is stated may be of any form; with `math` it is a value, a formula or a word. A box that was begun
    and not closed counts as a box: the text was cut, and so may be its numbers.

    What follows the answer under a heading such as `Question:` was invented, and is not read.
    """
    answer_text = without_code(own_turn(answer_text))
    boxes = find_boxes(answer_text)
    if answer_from == "boxed" or OPENING.search(answer_text):
        boxed = extract_answer(own_part(answer_text, boxes[0].end if boxes else None))
        if boxed and "answer" in boxed.lower():
            said = statements(plain(boxed), form)
            boxed = said[-1].value if said else boxed
        return Found(boxed, "boxed") if boxed else None
    text = plain(answer_text)
    stated = statements(text, form)
    text = own_part(text, stated[0].start if stated else None)
    stated = [statement for statement in stated if statement.start < len(text)]
    if stated:
        last = stated[-1]
        values = [statement.value for statement in stated[-ALTERNATING:]]
        if any(values.count(value) > 1 for value in values if value != last.value) and values.count(last.value) > 1:
            return None
        if not RETRACTED.search(text, last.start):
            return Found(last.value, last.rule)
    found = ending(text, form)
    return Found(*found) if found else None
