"""Notations that look like something else: times of day, digits in a base, ratios, matrices."""

from __future__ import annotations

import re
from collections.abc import Callable

from ownwords.answers.cut import cut
from ownwords.answers.things import Based, Leaf, Matrix, Ratio, Thing, TimeOfDay

Read = Callable[[str], Thing | None]
HALVES = re.compile(r"(\d{1,2})(?: ?: ?(\d\d))? ?(?:\\unit\{)?([ap])\.? ?m\.?\}?", re.IGNORECASE)
CLOCK = re.compile(r"(\d{1,2}) ?: ?(\d\d)")
BASES = {
    word: number
    for number, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), start=2)
} | {"sixteen": 16, "binary": 2, "octal": 8, "hexadecimal": 16}
SUBSCRIPT = re.compile(r"\(?([\da-zA-Z]+)\)? ?_ ?\{? ?\(?(\d+|[a-z]+)\)? ?\}?")
IN_BASE = re.compile(r"\(?([\da-zA-Z]+)\)? \(?(?:in )?base[ -]?(\d+|[a-z]+)\)?")
NAMED_BASE = re.compile(r"\b(?:base|bases)\b|\b(?:binary|octal|hexadecimal)\b", re.IGNORECASE)
MATRIX = re.compile(r"[(\[]? ?\\begin ?\{([pbB]|small|)(?:matrix|array)\} ?(?:\{[clr|]*\})?(.*)\\end ?\{\w*\} ?[)\]]?")


def read_time(text: str) -> TimeOfDay | None:
    if text in ("noon", "midnight"):
        return TimeOfDay(720 if text == "noon" else 0, half_told=True)
    if found := HALVES.fullmatch(text):
        hour, minute = int(found[1]), int(found[2] or 0)
        if not 1 <= hour <= 12 or minute > 59:
            return None
        return TimeOfDay(hour % 12 * 60 + minute + 720 * (found[3].lower() == "p"), half_told=True)
    if found := CLOCK.fullmatch(text):
        hour, minute = int(found[1]), int(found[2])
        return TimeOfDay(hour * 60 + minute, half_told=False) if hour < 24 and minute < 60 else None
    return None


def same_time(a: TimeOfDay, b: TimeOfDay) -> bool:
    """Where only one of them tells the half of the day, the other may be of either, unless it counts 24 hours."""
    if a.half_told == b.half_told:
        return a.minutes == b.minutes
    told, bare = (a, b) if a.half_told else (b, a)
    either = 60 <= bare.minutes < 13 * 60 and told.minutes % 720 == bare.minutes % 720
    return told.minutes == bare.minutes or either


def read_based(text: str) -> Based | None:
    found = SUBSCRIPT.fullmatch(text) or IN_BASE.fullmatch(text)
    if not found or not re.search(r"\d", found[1]):
        return None
    base = int(found[2]) if found[2].isdigit() else BASES.get(found[2], 0)
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found[1]):
        return None
    return Based(found[1].upper().lstrip("0") or "0", base)


def names_a_base(question: str) -> bool:
    """Whether a question says in which base its answer is wanted, so that the digits alone may answer it."""
    return bool(NAMED_BASE.search(question))


def read_ratio(text: str, read: Read) -> Ratio | None:
    parts = cut(text, re.compile(r":|\\colon(?![a-z])|(?<![a-zA-Z\\])to(?![a-zA-Z])"))
    if not 2 <= len(parts) <= 6:
        return None
    leaves = [read(part) for part in parts]
    return Ratio(tuple(leaf for leaf in leaves if isinstance(leaf, Leaf))) if _all_leaves(leaves) else None


def _all_leaves(things: list[Thing | None]) -> bool:
    return all(isinstance(thing, Leaf) for thing in things)


def read_matrix(text: str, read: Read) -> Matrix | None:
    found = MATRIX.fullmatch(text)
    if not found or r"\begin" in found[2]:
        return None
    rows = [[read(cell.strip()) for cell in row.split("&")] for row in re.split(r"\\\\|\\cr", found[2]) if row.strip()]
    kept = tuple(tuple(cell for cell in row if cell is not None) for row in rows)
    if not rows or any(len(row) != len(rows[0]) for row in kept) or len(kept[0]) != len(rows[0]):
        return None
    return Matrix(kept)
