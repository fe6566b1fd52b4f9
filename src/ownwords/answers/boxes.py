"""The boxes of a text: what `\\boxed{}` holds, what belongs to it outside, and several boxes that are one answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ownwords.answers.quantity import read_quantity, same_quantity

OPENING = re.compile(r"\\(?:boxed|fbox|framebox(?:\[[^\[\]]{0,20}\])?)(?![a-zA-Z])\s*")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
GROUP = r"(?:\{[^{}]*\}|[0-9a-zA-Z])"
BARE = re.compile(
    rf"\\[dtc]?frac\s*{GROUP}\s*{GROUP}|\\sqrt\s*(?:\[\w+\]\s*)?{GROUP}|\\(?:text|mathrm|mathbf)\s*\{{[^{{}}]*\}}"
    r"|\\(?:pi|theta|alpha|beta|gamma|infty|emptyset|varnothing)(?![a-zA-Z])|[0-9a-zA-Z](?![0-9a-zA-Z/^]|[.,]\d)"
)
"""what TeX takes for the argument of a box without braces; a digit that more of them follow is left: TeX would box the
first, who wrote it meant all"""
SIGN = re.compile(r"(?P<sign>\\pm|\\mp|±|\\\$|[-−+])(?P<apart>\s*)$")
OPERAND = re.compile(r"(?:[0-9)}\]%!]|(?:^|[^a-zA-Z])[a-zA-Z]|\\(?:pi|theta|alpha|beta|gamma|lambda|infty|l?dots))\s*$")
STARTS = re.compile(r"(?:[=(&,]|\$|\\[(\[]|\\approx)\s*$")
"""what stands before a sign that does not stand right at its box; else a dash in prose, or a bullet"""
SUFFIX = re.compile(
    r"\s?\\?%|\s?\^\s?\{?\\circ\}?"
    r"|(?:\\[,;:! ]|[~ ])*\\(?:text|textrm|textnormal|mathrm|mbox)\s?\{[^{}a-zA-Z]{0,3}[a-zA-Z][^{}]{0,30}\}"
    r"(?:\^\{?[23]\}?)?"
)
DRESS = re.compile(r"\$+|\\[()\[\],;:! ]|\\q?quad(?![a-zA-Z])|[~*&]")
WORDS = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s?\{([^{}]*)\}")
JOINED = re.compile(r"\s*(?:[,;]\s*(?:and|or)?|and|or)\s*(?:(?P<name>[a-zA-Z])\s*=)?\s*")
NAMED = re.compile(r"(?<![a-zA-Z0-9_])([a-zA-Z])\s*=\s*$")
GAP = 60
"""characters; boxes further apart are not one answer"""
MOST = 100
"""boxes that are one answer"""


@dataclass(frozen=True)
class Box:
    """A closed box."""

    start: int
    end: int
    content: str


def last_boxed(text: str) -> str | None:
    """What the last closed box holds, `""` for an empty one, None if there is none.

    Boxes that only `and`, `or`, a comma or a semicolon stand between are one answer: `(2,2), (6,2)`.
    """
    boxes = find_boxes(text)
    if not boxes:
        return None
    after = _dressed(text, boxes[-1])
    contents, names = [after.content], [_name(text, after)]
    for box in boxes[-2 : -MOST - 1 : -1]:
        before = _dressed(text, box)
        gap = text[before.end : after.start]
        if len(gap) > GAP or not JOINED.fullmatch(DRESS.sub(" ", WORDS.sub(r" \1 ", gap))):
            break
        if not any(_same(before.content, content) for content in contents):
            contents.append(before.content)
            names.append(_name(text, before))
        after = before
    if len(set(names)) == len(names) > 1 and all(names):  # x and y, each in a box
        contents = [f"{name} = {content}" for name, content in zip(names, contents)]
    return ", ".join(reversed(contents))


def find_boxes(text: str) -> list[Box]:
    """The closed boxes, in order; of a box inside of a box the inner one. Linear in the length of the text."""
    openings = list(OPENING.finditer(text))
    close_of: dict[int, int] = {}
    opened: list[int] = []
    for brace in BRACE.finditer(text) if openings else ():
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            close_of[opened.pop()] = brace.start()
    boxes: list[Box] = []
    for opening in reversed(openings):
        begin = opening.end()
        if begin in close_of:
            box = Box(opening.start(), close_of[begin] + 1, text[begin + 1 : close_of[begin]].strip())
        elif bare := BARE.match(text, begin):
            box = Box(opening.start(), bare.end(), bare[0])
        else:
            continue
        if not boxes or box.end <= boxes[-1].start:
            boxes.append(box)
    return boxes[::-1]


def _dressed(text: str, box: Box) -> Box:
    """A box with the sign right before it and the unit right after it."""
    start, end, content = box.start, box.end, box.content
    unit = SUFFIX.match(text, end)
    if unit and read_quantity(content) and read_quantity(content + unit[0]):
        content, end = content + unit[0], unit.end()
    sign = SIGN.search(text[max(0, start - GAP) : start])
    if not sign or not content:
        return Box(start, end, content)
    mark, lead = sign["sign"], WORDS.sub(" ", sign.string[: sign.start()])
    if mark in "-−+" and (OPERAND.search(lead) or (sign["apart"] and not STARTS.search(lead))):
        return Box(start, end, content)
    if mark in "-−+":
        mark = "-" if mark == "−" else mark
        content = f"{mark}({content})" if re.search(r"^-|[\d)a-zA-Z]\s*[-+]", content) else mark + content
    else:
        content = mark + content if mark == r"\$" else f"{mark} {content}"
    return Box(start - len(sign.string) + sign.start(), end, content)


def _same(a: str, b: str) -> bool:
    """Whether two boxes hold one value, as in `\\boxed{1\\frac12}, or \\boxed{\\frac32}`."""
    x, y = read_quantity(a), read_quantity(b)
    return a == b or bool(x and y and same_quantity(x, y))


def _name(text: str, box: Box) -> str:
    found = NAMED.search(text[max(0, box.start - 10) : box.start])
    return found[1] if found else ""
