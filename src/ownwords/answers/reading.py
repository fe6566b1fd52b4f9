"""Reading an answer: which mathematical thing a text is, as a whole.

One short reader after the other is tried, from the most particular notation to the formula; what none of them reads is
no answer.
"""

from __future__ import annotations

import re
from itertools import product

from ownwords.answers.cut import cut, enclosed
from ownwords.answers.formula import parse
from ownwords.answers.notations import read_based, read_matrix, read_ratio, read_time
from ownwords.answers.quantity import Quantity, read_compound, read_quantity
from ownwords.answers.relations import as_numbers, names_of, read_builder, read_relation, read_set_algebra
from ownwords.answers.text import depth, is_words
from ownwords.answers.things import Dots, Leaf, Many, Named, Region, Thing
from ownwords.answers.units import Unit, read_unit

DEEPEST = 20
"""levels of brackets in an answer; what nests deeper is no answer, and parsers need exponential time for some of it"""
DOTS = re.compile(r"\\(?:ldots|cdots|dots|dotsc)|\.\.\.")
APPROXIMATELY = re.compile(
    r"\\(?:approx|simeq|thickapprox)(?![a-zA-Z])|(?<![a-zA-Z\\])(?:or )?(?:approximately|about|approx\.?)(?![a-zA-Z])"
)
REMARK = re.compile(r" *\( *(?:\\approx|approximately|about|approx\.?)[^()]*\)$")
OR = re.compile(r"(?<![a-zA-Z\\])or(?![a-zA-Z])|\\(?:lor|vee)(?![a-zA-Z])")
AND = re.compile(r",? *(?<![a-zA-Z\\])and(?![a-zA-Z])|\\(?:land|wedge)(?![a-zA-Z])|[,;]")
COMMA = re.compile(r"[,;]")
SIGNS = re.compile(r"\\(pm|mp)(?![a-zA-Z])")
LANGUAGE = re.compile(r"(?<![a-zA-Z\\])(?:is|are|and|or|not|if|for|to|on|than|the)(?![a-zA-Z])", re.IGNORECASE)
"""words that no formula holds, and that would be products of letters"""
LABEL = re.compile(r"(?P<label>[a-zA-Z]{3,}(?: [a-zA-Z]+)*?)(?: is| are|:) (?P<value>.*\d.*)")
MOST_SIGNS = 3
ANGLE = re.compile(r"(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
"""functions of an angle, whose degrees are no unit of their value"""
UNIT_MAY_BEGIN = re.compile(
    r"(?<=[\d.)}\]a-zA-Z ])(?= *(?:\\unit|\^ ?\{?\\circ|%))|(?<=[\d)}\]a-zA-Z]) +(?=\(?[a-zA-Z]{2})"
    r"|(?<=[\d)}])(?=\\frac ?\{ ?\\unit)"
)


def read(text: str) -> Thing | None:
    """The thing that a text is (`tidy(text, units=True)`), None if it is none that is known here."""
    if DOTS.fullmatch(text.strip()):
        return Dots()
    text = text.strip().rstrip(".,;").strip()
    if not text or depth(text) > DEEPEST:
        return None
    quantity = read_quantity(text) or read_compound(text)
    if quantity:
        return Leaf(text, quantity.unit, quantity)
    readers = (
        read_time,
        read_based,
        _read_remark,
        _read_labelled,
        _read_or,
        _read_both_signs,
        _read_and,
        lambda t: read_set_algebra(t, read),
        lambda t: read_builder(t, read),
        lambda t: read_relation(t, read),
        lambda t: read_ratio(t, read),
        lambda t: read_matrix(t, read),
        _read_brackets,
        _read_formula,
    )
    return next((thing for reader in readers if (thing := reader(text)) is not None), None)


def _read_remark(text: str) -> Thing | None:
    """`\\frac{1}{3} \\approx 0.333` is its exact side, unless that is a name."""
    if remark := REMARK.search(text):
        return read(text[: remark.start()])
    exact, *rounded = cut(text, APPROXIMATELY)
    if len(rounded) != 1 or read(rounded[0]) is None:
        return None
    return read(exact) if exact and not names_of(exact) else read(rounded[0])


def _read_labelled(text: str) -> Named | None:
    """`The answer is 5`, `Total: 18`."""
    found = LABEL.fullmatch(text)
    value = read(found["value"]) if found else None
    return None if found is None or value is None else Named((found["label"],), value)


def _read_or(text: str) -> Thing | None:
    parts = cut(text, OR)
    if len(parts) == 1:
        return None
    items = _read_all(
        [sub for part in parts for sub in cut(part.rstrip(","), COMMA) if sub] if _no_order(text) else parts
    )
    if not items:
        return None
    numbers = [as_numbers(item) for item in items]
    if any(_is_region(item) for item in items):
        names = {name for item in items if (name := _region_name(item))}
        if any(one is None for one in numbers) or len(names) > 1:
            return None
        total = numbers[0].union(*numbers[1:])
        return Region(total, names.pop() if names else "")
    return Many(items, "set")


def _no_order(text: str) -> bool:
    return not re.search(r"[<>]|\\(?:le|ge|ne|lt|gt|in)(?![a-zA-Z])", text)


def _is_region(thing: Thing) -> bool:
    return isinstance(thing, Region)


def _region_name(thing: Thing) -> str:
    return thing.name if isinstance(thing, Region) else getattr(thing, "names", ("",))[0]


def _read_and(text: str) -> Thing | None:
    """A list; or, of inequalities in one letter, what all of them leave."""
    parts = [part for part in cut(text, AND) if part]
    if len(parts) < 2:
        return None
    items = _read_all(parts)
    if not items:
        return None
    if all(isinstance(item, Region) and item.name for item in items):
        names = {_region_name(item) for item in items}
        numbers = as_numbers(items[0])
        for item in items[1:]:
            numbers = numbers.intersect(as_numbers(item))
        return Region(numbers, names.pop()) if len(names) == 1 else Many(items, "list")
    return Many(items, "list")


def _read_both_signs(text: str) -> Many | None:
    """`1 \\pm \\sqrt{2}` is two things; a set that holds such a thing holds both."""
    if not SIGNS.search(text) or len(cut(text, AND)) > 1 or text.startswith((r"\{", "{")):
        return None
    items = _read_all([text])
    return Many(items, "list") if items else None


def _both_signs(text: str) -> list[str]:
    found = SIGNS.findall(text)
    if not found:
        return [text]
    if len(found) > MOST_SIGNS:
        return []
    choices = list(product("+-", repeat=len(found)))
    if "mp" in found:  # the signs go together
        choices = [tuple(plus if sign == "pm" else minus for sign in found) for plus, minus in ("+-", "-+")]
    between = SIGNS.split(text)[::2]
    return ["".join(part + sign for part, sign in zip(between, (*choice, ""), strict=True)) for choice in choices]


def _read_all(parts: list[str]) -> tuple[Thing, ...] | None:
    """All parts, or None if one of them cannot be read."""
    texts = [_both_signs(part) for part in parts]
    things = [read(text) for alternatives in texts for text in alternatives]
    if not all(texts) or any(thing is None for thing in things):
        return None
    return tuple(thing for thing in things if thing is not None)


def _read_brackets(text: str) -> Thing | None:
    found = enclosed(text)
    if not found or not found[1]:
        return None
    brackets, inner = found
    parts = cut(inner, COMMA)
    if brackets == "{}":
        items = _read_all([part for part in parts if part])
        return Many(items, "set") if items else None
    if len(parts) == 1:
        return read(inner) if brackets in ("()", "[]") else None
    things = [read(part) for part in parts]
    interval = len(parts) == 2 and brackets in ("[)", "(]")
    if any(thing is None for thing in things) or not (interval or brackets in ("()", "[]")):
        return None
    return Many(tuple(thing for thing in things if thing is not None), "tuple", brackets)


def _read_formula(text: str) -> Leaf | None:
    """A formula with or without a unit, nothing left over."""
    if LANGUAGE.search(text):
        return None
    for place in UNIT_MAY_BEGIN.finditer(text):
        value, rest = text[: place.start()].strip(), text[place.start() :].strip()
        unit = read_unit(rest)
        if not unit or not unit.measures or is_words(value) or (r"\circ" in rest and ANGLE.search(value)):
            continue
        if unit.noun and not re.search(r"\d", value):  # `no idea`
            continue
        if quantity := read_quantity(value):
            return Leaf(text, unit, Quantity(quantity.number, unit, quantity.decimals))
        if (formula := parse(value)) is not None:
            return Leaf(text, unit, formula=formula)
    if is_words(text):
        return None
    currency = re.match(r"(?:US)?\$ ?", text)
    if currency:
        unit = read_unit("$") or Unit()
        text = text[currency.end() :]
    else:
        unit = Unit()
    formula = parse(text)
    return None if formula is None else Leaf(text, unit, formula=formula)
