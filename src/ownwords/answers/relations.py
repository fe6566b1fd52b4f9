"""Names, equations, inequalities and the real numbers that they leave: `x = 5`, `2 \\le x < 5`, `(0,1) \\cup (2,3)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import overload

import sympy

from ownwords.answers.cut import cut, cut_with_signs, enclosed
from ownwords.answers.formula import equal, parse
from ownwords.answers.things import Leaf, Many, Named, Region, Relation, Thing
from ownwords.answers.units import Unit

Read = Callable[[str], Thing | None]
SIGN = re.compile(r"\\(?:le|ge|ne|lt|gt|in|leqq|geqq)(?![a-zA-Z])|\\not ?=|[<>]=?|!=|=")
SIGNS = {
    r"\le": "<=", r"\leqq": "<=", r"\ge": ">=", r"\geqq": ">=", r"\lt": "<", r"\gt": ">", r"\ne": "!=",
    r"\not=": "!=", r"\not =": "!=",
}  # fmt: skip
ORDER = {"<", "<=", ">", ">=", "!="}
WORDS = re.compile(
    r"[a-zA-Z][a-zA-Z ]*|[a-zA-Z]_ ?\{[^{}]*\}|[a-zA-Z]'* ?\([^()=]*\)|[a-zA-Z]'+|[a-z]\^\{-1\}\([a-z]\)"
    r"|\[[A-Z]+\]|\|[A-Z]+\||\\(?:angle|overline|triangle) ?\{?[A-Z ]+\}?|\\frac ?\{d ?\w\} ?\{d ?\w\}"
)
SET_SIGN = re.compile(r"\\(?:cup|cap|setminus|smallsetminus|backslash|bigcup)(?![a-zA-Z])|(?<= )U(?= )")
SUCH_THAT = re.compile(r"\\(?:mid|vert)(?![a-zA-Z])|:|\|")
REALS = re.compile(r"\\mathbb ?\{? ?R ?\}?|\\R(?![a-zA-Z])|all reals?(?: numbers)?")


def read_set_algebra(text: str, read: Read) -> Region | None:
    """Unions, intersections and differences of intervals and finite sets; all real numbers; none."""
    if REALS.fullmatch(text):
        return Region(sympy.S.Reals)
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return Region(sympy.S.EmptySet)
    parts = cut_with_signs(text, SET_SIGN)
    if len(parts) == 1:
        return None
    total: sympy.Set | None = None
    sign = r"\cup"
    for part, following in parts:
        numbers = as_numbers(read(part))
        if numbers is None:
            return None
        if total is None:
            total = numbers
        elif sign in (r"\cup", r"\bigcup", "U"):
            total = total.union(numbers)
        elif sign == r"\cap":
            total = total.intersect(numbers)
        else:
            total = total - numbers
        sign = following
    return Region(total)


def read_builder(text: str, read: Read) -> Region | None:
    """`\\{x \\mid x > 0\\}`."""
    found = enclosed(text)
    if not found or found[0] != "{}":
        return None
    parts = cut(found[1], SUCH_THAT)
    if len(parts) != 2 or not names_of(re.sub(r"\\in.*", "", parts[0]).strip()):
        return None
    numbers = as_numbers(read(parts[1]))
    return None if numbers is None else Region(numbers)


def as_numbers(thing: Thing | None) -> sympy.Set | None:
    """The real numbers that a thing may stand for: a region, an interval, a finite set, one number."""
    match thing:
        case Region(numbers):
            return numbers
        case Named(names, value) if len(names) == 1:
            return as_numbers(value)
        case Many((first, second), "tuple", brackets) if brackets[0] in "([" and brackets[1] in ")]":
            start, end = number_of(first), number_of(second)
            if start is None or end is None or not bool(start < end):
                return None
            if any(one.is_infinite and bracket in "[]" for one, bracket in zip((start, end), brackets, strict=True)):
                return None
            return sympy.Interval(start, end, left_open=brackets[0] == "(", right_open=brackets[1] == ")")
        case Many(items, "set" | "list", _):
            numbers = [number_of(item.value if isinstance(item, Named) else item) for item in items]
            return None if any(number is None for number in numbers) else sympy.FiniteSet(*numbers)
        case Leaf():
            number = number_of(thing)
            return None if number is None else sympy.FiniteSet(number)
    return None


def number_of(thing: Thing | None) -> sympy.Expr | None:
    """An exact real number without a letter, evaluated."""
    if not isinstance(thing, Leaf):
        return None
    formula = thing.formula if thing.quantity is None else sympy.Rational(thing.quantity.number)
    return _real(formula) if isinstance(formula, sympy.Expr) and not formula.free_symbols else None


def _real(formula: sympy.Expr) -> sympy.Expr | None:
    try:
        number = formula.doit()
    except ValueError:  # a power of a matrix
        return None
    return number if number.is_extended_real else None


def read_relation(text: str, read: Read) -> Thing | None:
    parts = cut_with_signs(text, SIGN)
    if len(parts) == 1:
        return None
    sides = [part for part, _ in parts]
    signs = [SIGNS.get(sign, sign) for _, sign in parts[:-1]]
    if not sides[-1]:
        return None
    if set(signs) == {"="}:
        return _equation(sides, read)
    if signs == [r"\in"]:
        names, value = names_of(sides[0]), read(sides[1])
        return Named(names, value) if names and value is not None else None
    return _inequality(sides, signs) if set(signs) <= ORDER else None


def names_of(text: str) -> tuple[str, ...]:
    """The names that a text is made of: `x`, `f(x)`, `AB`, `(x, y)`, `Area`; empty if it is anything else."""
    found = enclosed(text)
    texts = cut(found[1] if found and found[0] == "()" else text, re.compile(","))
    names = [_name(name) for name in texts]
    return tuple(name for name in names if name) if all(names) else ()


def _name(text: str) -> str:
    text = re.sub(r"\\unit ?\{([^{}]*)\}", r"\1", text).strip()
    if WORDS.fullmatch(text) and not re.fullmatch("[ie]", text):
        return text
    formula = parse(text)
    return str(formula) if isinstance(formula, sympy.Symbol) else ""


def _equation(sides: list[str], read: Read) -> Thing | None:
    """A name and its value; a chain of equal values; or an equation between formulas."""
    if not sides[0]:
        return read(sides[1]) if len(sides) == 2 else None
    names, rest = names_of(sides[0]), sides[1:]
    if len(sides) == 2 and not names and (names := names_of(sides[1])):
        rest = sides[:1]
    values = [read(side) for side in (rest if names else sides)]
    last = values[-1]
    if last is None or any(value is None for value in values):
        return None
    if names and len(values) == 1:
        return Named(names, last)
    formulas = [formula for value in values if (formula := formula_of(value)) is not None]
    if len(formulas) < len(values):
        return None
    if names:
        known = [formula for formula in formulas if not formula.free_symbols]
        if formulas[-1].free_symbols or not all(equal(one, known[-1]) for one in known):
            return None
        return Named(names, last)
    if all(equal(one, formulas[-1]) for one in formulas):
        return last
    if len(formulas) == 2 and any(formula.free_symbols for formula in formulas):
        return Relation("=", *formulas)
    return None


@overload
def formula_of(thing: Leaf) -> sympy.Basic: ...
@overload
def formula_of(thing: Thing | None) -> sympy.Basic | None: ...
def formula_of(thing: Thing | None) -> sympy.Basic | None:
    """A leaf without its unit; None of anything else."""
    if not isinstance(thing, Leaf):
        return None
    return thing.formula if thing.quantity is None else sympy.Rational(thing.quantity.number)


def _inequality(sides: list[str], signs: list[str]) -> Thing | None:
    if sides[0] == "" and len(sides) == 2:  # `> 3`
        bound = number_of(Leaf(sides[1], Unit(), formula=parse(sides[1])))
        return None if bound is None else Region(_half_line(signs[0], bound))
    formulas = [formula for side in sides if side and (formula := parse(side)) is not None]
    if len(formulas) < len(sides):
        return None
    letters = set().union(*(formula.free_symbols for formula in formulas))
    pairs = [(a, sign, b) for a, sign, b in zip(formulas, signs, formulas[1:])]
    if len(letters) == 1:
        letter = letters.pop()
        try:
            solved = [_solve(a, sign, b, letter) for a, sign, b in pairs]
            return Region(sympy.S.Reals.intersect(sympy.Intersection(*solved)), str(letter))
        except (NotImplementedError, TypeError, ValueError, AttributeError):  # it is compared as it is written
            pass
    relations = tuple(Relation(*_upright(a, sign, b)) for a, sign, b in pairs)
    return relations[0] if len(relations) == 1 else Many(relations, "set")


def _upright(a: sympy.Basic, sign: str, b: sympy.Basic) -> tuple[str, sympy.Basic, sympy.Basic]:
    """With `<` or `<=`, whichever way it was written."""
    return (sign.replace(">", "<"), b, a) if sign.startswith(">") else (sign, a, b)


def _half_line(sign: str, bound: sympy.Expr) -> sympy.Set:
    match sign:
        case "<" | "<=":
            return sympy.Interval(-sympy.oo, bound, True, sign == "<")
        case ">" | ">=":
            return sympy.Interval(bound, sympy.oo, sign == ">", True)
    return sympy.S.Reals - sympy.FiniteSet(bound)


MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!="}


def _solve(a: sympy.Expr, sign: str, b: sympy.Expr, letter: sympy.Symbol) -> sympy.Set:
    if a == letter and not b.free_symbols:
        return _half_line(sign, b.doit())
    if b == letter and not a.free_symbols:
        return _half_line(MIRROR[sign], a.doit())
    real = sympy.Symbol(str(letter), real=True)
    difference = (a - b).doit().xreplace({letter: real})
    if sign == "!=":
        return sympy.S.Reals - sympy.solveset(difference, real, sympy.S.Reals)
    relation = {"<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge}[sign](difference, 0)
    return relation.as_set() if relation not in (True, False) else (sympy.S.Reals if relation else sympy.S.EmptySet)
