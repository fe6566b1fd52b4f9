"""The boxes of a text: what `\\boxed{}` holds, with what belongs to it outside, and several boxes that are one answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ownwords.answers.quantity import read_quantity

OPENING = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
GROUP = r"(?:\{[^{}]*\}|[0-9a-zA-Z])"
BARE = re.compile(
    rf"\\[dtc]?frac\s*{GROUP}\s*{GROUP}|\\sqrt\s*(?:\[\w+\]\s*)?{GROUP}|\\(?:text|mathrm|mathbf)\s*\{{[^{{}}]*\}}"
    r"|\\(?!d?t?c?frac|sqrt)[a-zA-Z]+|[0-9a-zA-Z](?![0-9a-zA-Z.,/^])"
)
"""what TeX takes for the argument of a box without braces; a digit that more of them follow is left: TeX would box the
first, who wrote it meant all"""
SIGN = re.compile(r"(?P<sign>\\pm|\\mp|±|\\\$|[-−+])(?P<apart>\s*)$")
OPERAND = re.compile(r"(?:[0-9)}\]%!]|(?:^|[^a-zA-Z])[a-zA-Z]|\\(?:pi|theta|alpha|beta|gamma|lambda|infty|l?dots))\s*$")
STARTS = re.compile(r"(?:[=(&,]|\$|\\[(\[]|\\approx)\s*$")
"""what stands before a sign that does not stand right at its box; else a dash in prose, or a bullet"""
SUFFIX = re.compile(
    r"\s?\\?%|\s?\^\s?\{?\\circ\}?"
    r"|(?:\\[,;:! ]|[~ ])*\\(?:text|textrm|textnormal|mathrm|mbox)\s?\{[^{}]{1,30}\}(?:\^\{?[23]\}?)?"
)
DRESS = re.compile(r"\$+|\\[()\[\],;:! ]|\\q?quad(?![a-zA-Z])|[~*&]")
WORDS = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s?\{([^{}]*)\}")
JOINED = re.compile(r"\s*(?:[,;]\s*(?:and|or)?|and|or)\s*(?:(?P<name>[a-zA-Z])\s*=)?\s*")
NAMED = re.compile(r"(?<![a-zA-Z0-9_])([a-zA-Z])\s*=\s*$")
GAP = 60
"""characters; boxes further apart are not one answer"""


@dataclass(frozen=True)
class Box:
    """A closed box."""

    start: int
    """where the box begins, with a sign that belongs to it"""
    end: int
    """where it ends, with a unit that belongs to it"""
    content: str
    """what it holds, with sign and unit"""


def last_boxed(text: str) -> str | None:
    """What the last closed box holds, `""` for an empty one, None if there is none.

    Boxes that only `and`, `or`, a comma or a semicolon stand between are one answer: `(2,2), (6,2)`.
    """
    boxes = find_boxes(text)
    if not boxes:
        return None
    contents, names = [boxes[-1].content], [_name(text, boxes[-1])]
    for before, after in zip(boxes[-2::-1], boxes[:0:-1]):
        joined = JOINED.fullmatch(_undressed(text[before.end : after.start])) if after.start - before.end < GAP else None
        if not joined:
            break
        if before.content not in contents:
            contents.append(before.content)
            names.append(_name(text, before))
    if len(set(names)) == len(names) > 1 and all(names):  # x and y, each in a box
        contents = [f"{name} = {content}" for name, content in zip(names, contents)]
    return ", ".join(reversed(contents))


def find_boxes(text: str) -> list[Box]:
    """The closed boxes, in order; of a box inside of a box the inner one. Linear in the length of the text."""
    openings = list(OPENING.finditer(text))
    if not openings:
        return []
    close_of: dict[int, int] = {}
    opened: list[int] = []
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            close_of[opened.pop()] = brace.start()
    boxes: list[Box] = []
    inner = len(text) + 1  # where the box after this one begins
    for opening in reversed(openings):
        begin = opening.end()
        if begin in close_of:
            content, end = text[begin + 1 : close_of[begin]].strip() if close_of[begin] < inner else None, close_of[begin] + 1
        elif bare := BARE.match(text, begin):
            content, end = bare[0], bare.end()
        else:
            continue
        if content is not None:
            boxes.append(_dressed(text, opening.start(), end, content))
            inner = opening.start()
    return boxes[::-1]


def _dressed(text: str, start: int, end: int, content: str) -> Box:
    """A box with the sign right before it and the unit right after it."""
    if not content:
        return Box(start, end, content)
    after = SUFFIX.match(text, end)
    if after and read_quantity(content) and read_quantity(content + after[0]):
        content, end = content + after[0], after.end()
    head = text[max(0, start - GAP) : start]
    before = SIGN.search(head)
    if not before:
        return Box(start, end, content)
    sign, lead = before["sign"], WORDS.sub(" ", head[: before.start()])
    if sign in "-−+":
        if OPERAND.search(lead) or (before["apart"] and not STARTS.search(lead)):
            return Box(start, end, content)
        sign = sign.replace("−", "-")
        content = f"{sign}({content})" if re.search(r"\d\s*[-+]|[a-zA-Z)]\s*[-+]", content) else sign + content
    else:
        content = f"{sign} {content}" if sign != r"\$" else sign + content
    return Box(start - len(head) + before.start(), end, content)


def _name(text: str, box: Box) -> str:
    found = NAMED.search(text[max(0, box.start - 10) : box.start])
    return found[1] if found else ""


def _undressed(gap: str) -> str:
    return DRESS.sub(" ", WORDS.sub(r" \1 ", gap))
