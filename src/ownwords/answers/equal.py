"""Whether two things that were read are the same, part by part and exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import sympy

from ownwords.answers.formula import equal, parse, value
from ownwords.answers.notations import names_a_base, same_time
from ownwords.answers.quantity import is_percent, rounds_to, same_quantity
from ownwords.answers.relations import as_numbers, formula_of
from ownwords.answers.solutions import same_numbers, same_relation
from ownwords.answers.things import (
    Based,
    Dots,
    Leaf,
    Many,
    Matrix,
    Named,
    Ratio,
    Region,
    Relation,
    Thing,
    TimeOfDay,
)
from ownwords.answers.units import Unit

WORD = re.compile(r"[a-zA-Z]{2,}")


def same(a: Thing, b: Thing, question: str = "") -> bool:
    """Whether an answer `b` is the reference `a`. A name, a unit and a list's brackets may be left out of either."""
    a, b = _single(a), _single(b)
    if isinstance(a, Named) or isinstance(b, Named):
        return _same_named(a, b, question)
    match a, b:
        case Leaf(), Leaf():
            return _same_leaf(a, b)
        case Dots(), Dots():
            return True
        case TimeOfDay(), TimeOfDay():
            return same_time(a, b)
        case Based(), Based():
            return a == b
        case (Based() as based, Leaf() as bare) | (Leaf() as bare, Based() as based):
            return names_a_base(question) and bare.text.upper() == based.digits
        case (Ratio(), _) | (_, Ratio()):
            return _same_ratio(_as_ratio(a), _as_ratio(b))
        case Matrix(), Matrix():
            return len(a.rows) == len(b.rows) and all(_in_order(x, y, question) for x, y in zip(a.rows, b.rows))
        case (Matrix() as matrix, Many(shape="tuple") as many) | (Many(shape="tuple") as many, Matrix() as matrix):
            vector = len(matrix.rows) == 1 or len(matrix.rows[0]) == 1
            return vector and _in_order([cell for row in matrix.rows for cell in row], many.items, question)
        case (Relation(), Relation()):
            return same_relation(a, b)
        case Region(), Region():
            return (not a.name or not b.name or a.name == b.name) and same_numbers(a.numbers, b.numbers)
        case (Region(), Many()) | (Many(), Region()):
            numbers = as_numbers(a), as_numbers(b)
            return None not in numbers and same_numbers(*numbers)
        case Many(), Many():
            return _same_many(a, b, question)
    return False


def _single(thing: Thing) -> Thing:
    """The only thing of a set or list; alternatives that are all equal (`0.5 or 1/2`) are one."""
    if isinstance(thing, Many) and thing.shape in ("set", "list"):
        items = _distinct(thing.items, "") if thing.shape == "set" else list(thing.items)
        if len(items) == 1 and not isinstance(items[0], Region):
            return items[0]
    if isinstance(thing, Region) and isinstance(thing.numbers, sympy.FiniteSet) and thing.numbers:
        leaves = tuple(Leaf(str(number), Unit(), formula=number) for number in thing.numbers.args)
        return leaves[0] if len(leaves) == 1 else Many(leaves, "set")
    return thing


def _same_leaf(a: Leaf, b: Leaf) -> bool:
    if WORD.fullmatch(bare := _bare(a.text)) and WORD.fullmatch(_bare(b.text)):
        return bare == _bare(b.text)  # words and names of points are no products
    if a.quantity and b.quantity and (decided := same_quantity(a.quantity, b.quantity)) is not None:
        return decided
    if a.unit.doubtful or b.unit.doubtful:  # the letter is a variable
        whole = parse(a.text), parse(b.text)
        return None not in whole and equal(*whole)
    x, y = formula_of(a), formula_of(b)
    if a.unit.measures and b.unit.measures:
        if a.unit.measures != b.unit.measures:
            return False
        y = y * sympy.Rational(b.unit.size / a.unit.size)
    if a.quantity and a.quantity.decimals and not y.free_symbols and (number := _fraction(y)) is not None:
        if rounds_to(number, a.quantity):
            return True
    if equal(x, y):
        return not (_percent_of_one(a, b) or _percent_of_one(b, a))
    if is_percent(a.unit) != is_percent(b.unit):
        hundredth = sympy.Rational(1, 100)
        return equal(x * hundredth, y) if is_percent(a.unit) else equal(x, y * hundredth)
    return False


def _bare(text: str) -> str:
    return re.sub(r"\\unit ?\{([^{}]*)\}| ", r"\1", text).lower()


def _percent_of_one(a: Leaf, b: Leaf) -> bool:
    """Half a percent is not a half."""
    number = value(formula_of(a), 15) if is_percent(a.unit) and not b.unit.measures else None
    return number is not None and bool(abs(number) < 1)


def _fraction(formula: sympy.Basic) -> Fraction | None:
    number = value(formula)
    if number is None or not number.is_real or not number.is_finite:
        return None
    exact = sympy.Rational(number)
    return Fraction(int(exact.p), int(exact.q))


def _same_named(a: Thing, b: Thing, question: str) -> bool:
    match a, b:
        case Named(), Named():
            if len(a.names) == len(b.names) == 1:
                return _same_name(a.names[0], b.names[0]) and same(a.value, b.value, question)
            one, other = _values(a), _values(b)
            return one is not None and other is not None and _same_values(one, other, question)
        case (Named() as named, Relation() as relation) | (Relation() as relation, Named() as named):
            equation = _as_relation(named)
            return equation is not None and same_relation(equation, relation)
        case (Named() as named, Region(name=name)) | (Region(name=name), Named() as named):
            if name and (name,) != named.names:
                return False
        case (Named() as named, Many() as many) | (Many() as many, Named() as named):
            if values := _values(many):
                own = _values(named)
                return own is not None and _same_values(own, values, question)
    return same(a.value if isinstance(a, Named) else a, b.value if isinstance(b, Named) else b, question)


def _same_name(one: str, other: str) -> bool:
    """`y` and `f(x)` name the same."""
    if one == other:
        return True
    functions = [bool(re.fullmatch(r"[a-zA-Z]\([a-z]\)", name)) for name in (one, other)]
    return "y" in (one, other) and any(functions) or (len(one) > 2 and one.lower() == other.lower())


def _as_relation(named: Named) -> Relation | None:
    formula, name = formula_of(named.value), parse(named.names[0])
    return None if formula is None or name is None or len(named.names) > 1 else Relation("=", name, formula)


def _values(thing: Thing) -> dict[str, Thing] | None:
    """The value of each name, of `x = 3, y = 4` or `(x, y) = (3, 4)`."""
    if isinstance(thing, Named):
        if len(thing.names) == 1:
            return {thing.names[0]: thing.value}
        if isinstance(thing.value, Many) and len(thing.value.items) == len(thing.names):
            return dict(zip(thing.names, thing.value.items))
    if isinstance(thing, Many):
        values = {item.names[0]: item.value for item in thing.items if isinstance(item, Named) and len(item.names) == 1}
        return values if len(values) == len(thing.items) else None
    return None


def _same_values(a: dict[str, Thing], b: dict[str, Thing], question: str) -> bool:
    return set(a) == set(b) and all(same(a[name], b[name], question) for name in a)


def _letters(thing: Many) -> set[str]:
    """The letters that are named in it, without their indices."""
    return {re.sub(r"_.*", "", name) for item in thing.items if isinstance(item, Named) for name in item.names}


def _roots(thing: Many) -> Many:
    """`x = 2, x = 5`, `x_1 = 2, x_2 = 5`: values of one letter, in no order; `n = 3, 5, 8`: its name is for all."""
    named = [item for item in thing.items if isinstance(item, Named)]
    if len(_letters(thing)) == 1 and (
        len(named) == len(thing.items) or isinstance(thing.items[0], Named) and len(named) == 1
    ):
        return Many(tuple(item.value if isinstance(item, Named) else item for item in thing.items), thing.shape)
    return thing


def _same_many(a: Many, b: Many, question: str) -> bool:
    one, other = _values(a), _values(b)
    if one and other and set(one) == set(other):
        return _same_values(one, other, question)
    if (letters := _letters(a)) and letters != (_letters(b) or letters):
        return False
    a, b = _roots(a), _roots(b)
    one, other = _values(a), _values(b)
    if one and other:
        return _same_values(one, other, question)
    if one or other:  # names in the order of the alphabet
        values = one or other or {}
        items = tuple(values[name] for name in sorted(values))
        return _in_order(items, b.items, question) if one else _in_order(a.items, items, question)
    elided = any(isinstance(item, Dots) for item in (*a.items, *b.items))
    if elided:
        return a.shape == b.shape and _in_order(a.items, b.items, question)
    if "tuple" in (a.shape, b.shape):
        if "set" in (a.shape, b.shape):
            return False
        pair = a.brackets and b.brackets and len(a.items) == 2  # which may be an interval
        return (a.brackets == b.brackets or not pair) and _in_order(a.items, b.items, question)
    if "set" in (a.shape, b.shape):
        return _any_order(_distinct(a.items, question), _distinct(b.items, question), question)
    return _any_order(a.items, b.items, question)


def _in_order(a: Sequence[Thing], b: Sequence[Thing], question: str) -> bool:
    return len(a) == len(b) and all(same(x, y, question) for x, y in zip(a, b))


def _any_order(a: Sequence[Thing], b: Sequence[Thing], question: str) -> bool:
    if len(a) != len(b):
        return False
    rest = list(b)
    for item in a:
        match = next((i for i, other in enumerate(rest) if same(item, other, question)), None)
        if match is None:
            return False
        del rest[match]
    return True


def _distinct(items: Sequence[Thing], question: str) -> list[Thing]:
    kept: list[Thing] = []
    for item in items:
        if not any(same(item, other, question) for other in kept):
            kept.append(item)
    return kept


def _as_ratio(thing: Thing) -> list[sympy.Basic] | None:
    match thing:
        case Ratio(parts):
            return [formula_of(part) for part in parts]
        case TimeOfDay(minutes, False):  # `1:20`, unless it is a time
            return [sympy.Integer(minutes // 60), sympy.Integer(minutes % 60)]
        case Leaf() if not getattr(formula_of(thing), "is_integer", True):
            return [formula_of(thing), sympy.S.One]
    return None


def _same_ratio(a: list[sympy.Basic] | None, b: list[sympy.Basic] | None) -> bool:
    if not a or not b or len(a) != len(b):
        return False
    return all(equal(a[0] * y, b[0] * x) for x, y in zip(a[1:], b[1:]))
