"""What an answer can be, once it is read: a number or formula, several of them, a named one, a relation, a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ownwords.answers.quantity import Quantity
from ownwords.answers.units import Unit


@dataclass(frozen=True)
class Leaf:
    """A number or a formula, with its unit."""

    text: str
    """as it stands, the unit included"""
    unit: Unit
    quantity: Quantity | None = None
    """where it is a plain number"""
    formula: Any = None
    """a sympy expression without the unit, where it is none"""


@dataclass(frozen=True)
class Many:
    """Several things."""

    items: tuple[Thing, ...]
    shape: str
    """`list` (no order), `set` (no order, equal ones count once) or `tuple`"""
    brackets: str = ""
    """of a tuple, `()`, `[)` and so on: two things in brackets may be an interval"""


@dataclass(frozen=True)
class Dots:
    """What a list leaves out."""


@dataclass(frozen=True)
class Named:
    """`x = 5`, `f(x) = x^2`, `(x, y) = (1, 2)`, `x \\in [1, 2]`."""

    names: tuple[str, ...]
    value: Thing


@dataclass(frozen=True)
class Relation:
    """An equation or inequality between formulas, none of which is a mere name: `lhs` `sign` `rhs`."""

    sign: str
    """`=`, `<`, `<=` or `!=`"""
    lhs: Any
    rhs: Any


@dataclass(frozen=True)
class Region:
    """Real numbers: an interval, a union, what an inequality says of its one letter."""

    numbers: Any
    """a sympy set"""
    name: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows of cells."""

    rows: tuple[tuple[Thing, ...], ...]


@dataclass(frozen=True)
class TimeOfDay:
    """`4:30 PM`, `16:30`."""

    minutes: int
    """after midnight"""
    half_told: bool
    """by AM or PM"""


@dataclass(frozen=True)
class Based:
    """`1011_2`."""

    digits: str
    base: int


@dataclass(frozen=True)
class Ratio:
    """`2:3`, `2 to 3`."""

    parts: tuple[Leaf, ...]


Thing = Leaf | Many | Dots | Named | Relation | Region | Matrix | TimeOfDay | Based | Ratio


def kind_of(thing: Thing) -> str:
    """Its kind in a word."""
    match thing:
        case Leaf():
            return "number" if thing.quantity else "formula"
        case Many():
            return thing.shape
        case Named():
            return "name"
        case TimeOfDay():
            return "time"
        case Based():
            return "base"
    return type(thing).__name__.lower()


def show(thing: Thing) -> str:
    """A reading in short printable text."""
    match thing:
        case Leaf(quantity=Quantity(number, unit)):
            return f"{number}{_unit(unit)}"
        case Leaf():
            return f"{thing.formula}{_unit(thing.unit)}"
        case Many(items, shape, brackets):
            opening, closing = brackets or {"list": ("", ""), "set": "{}"}[shape]
            return opening + ", ".join(map(show, items)) + closing
        case Dots():
            return "..."
        case Named(names, value):
            return f"{', '.join(names)} = {show(value)}"
        case Relation(sign, lhs, rhs):
            return f"{lhs} {sign} {rhs}"
        case Region(numbers, name):
            return f"{name} in {numbers}" if name else str(numbers)
        case Matrix(rows):
            return "[" + "; ".join(", ".join(map(show, row)) for row in rows) + "]"
        case TimeOfDay(minutes, half_told):
            return f"{minutes // 60:02}:{minutes % 60:02}" + ("" if half_told else " or 12 hours later")
        case Based(digits, base):
            return f"{digits} in base {base}"
        case Ratio(parts):
            return ":".join(map(show, parts))


def _unit(unit: Unit) -> str:
    return "".join(f" {measure}" + (f"^{power}" if power != 1 else "") for measure, power in unit.measures)
