"""From a completion to its answer: pure functions on text, linear in its length."""

from __future__ import annotations

import re
from dataclasses import dataclass

BOXED = re.compile(r"\\f?box(?:ed)?\s*\{")
MARKED = re.compile(r"(?:#{4}|(?:final )?answer:)\s*(\S.*)", re.IGNORECASE)
STATED = re.compile(r"answer (?:is|=):?\s*(\S.*)", re.IGNORECASE)
BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
SENTENCE = re.compile(r"(?<=[.!?])\s")
LETTER = re.compile(r"\(?([A-J])\)?\.?")
LAST_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")


def split_thinking(text: str, closing: str | None = "</think>") -> tuple[str, str]:
    """(thinking, answer text): what stands before and after the first `closing` tag, the tag in neither.

    A text that never closes its thinking has no answer text. With `closing` None (a model that does not think) all of
    it is answer text.
    """
    if closing is None:
        return "", text
    thinking, _, answer_text = text.partition(closing)
    return thinking, answer_text


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` whose braces match, None if there is none."""
    close_of: dict[int, int] = {}
    open_braces: list[int] = []
    escaped = False
    for i, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            open_braces.append(i)
        elif character == "}" and open_braces:
            close_of[open_braces.pop()] = i
    for match in reversed(list(BOXED.finditer(text))):
        if match.end() - 1 in close_of:
            return text[match.end() : close_of[match.end() - 1]].strip()
    return None


@dataclass(frozen=True)
class Found:
    """An answer and the rule that found it."""

    answer: str
    rule: str
    """`boxed`, `marked` (`#### 18`), `stated` (`the answer is 18`), `letter` or `number`"""


def extract_answer(answer_text: str) -> str | None:
    """What the last box holds; None where there is no box or an empty one."""
    return last_boxed(answer_text) or None


def find_answer(answer_text: str, kind: str = "math", answer_from: str = "boxed") -> Found | None:
    """The final answer with the rule that found it: what the last box holds, if anything.

    With `answer_from` = `any`, a text that has no box at all is read by the first of these rules that finds something:
    a last line `#### ...` or `Answer: ...`; the last `answer is ...`, up to the end of its sentence; a last line that
    is one letter, for a multiple choice (`kind` = `choice`); the last number of the last line, for anything else. A box
    that was begun and not closed counts as a box: the text was cut, and so may be its numbers.
    """
    if answer_from == "boxed" or BOXED.search(answer_text):
        boxed = extract_answer(answer_text)
        return Found(boxed, "boxed") if boxed else None
    # linear on hostile text: sentences are cut first, and each rule reads one of them
    lines = [line.strip() for line in BOLD.sub(r"\1", answer_text).splitlines() if line.strip()]
    if not lines:
        return None
    if marked := MARKED.match(lines[-1]):
        return Found(marked[1].strip(), "marked")
    stated = [sentence for line in lines for sentence in SENTENCE.split(line) if "answer" in sentence.lower()]
    if stated and (said := STATED.search(stated[-1])):
        return Found(said[1].strip().rstrip("."), "stated")
    if kind == "choice":
        letter = LETTER.fullmatch(lines[-1])
        return Found(letter[1], "letter") if letter else None
    numbers = LAST_NUMBER.findall(lines[-1])
    return Found(numbers[-1], "number") if numbers else None
