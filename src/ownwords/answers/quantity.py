"""Numbers as people write them: with thousands, as mixed fractions, in percent, with a currency or a unit.

Two quantities are compared exactly, by fractions: 0.333 is not 1/3. A number without a unit equals the same number with
one, since the question names it; two units must measure the same thing and are converted. A percentage equals its
hundredth (50 % and 0.5) and, from 1 up, its bare number (50 % and 50).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ownwords.answers.text import tidy
from ownwords.answers.units import Unit, read_unit

LONGEST = 400
"""characters; a longer number is compared as text"""
DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
REPEATING = r"\d*\.\d*(?:\\(?:overline|bar|dot) ?\{? ?(?P<period>\d+) ?\}?|\((?P<period2>\d+)\))"
RATIO = r"\\frac ?\{ ?(?P<a>\d+) ?\} ?\{ ?(?P<b>\d+) ?\}|\\frac ?(?P<c>\d) ?(?P<d>\d)|(?P<e>\d+) ?/ ?(?P<f>\d+)"
QUANTITY = re.compile(
    rf"(?P<sign>[-+]?) ?(?P<currency>(?:US)?\$|€|£|¥|USD|EUR|GBP)? ?(?P<minus>-?) ?"
    rf"(?:(?P<mixed>(?:\d+ ?(?=\\)|\d+ (?=\d+ ?/))?)(?P<ratio>{RATIO})|(?P<repeating>{REPEATING})|"
    rf"(?P<decimal>{DECIMAL})"
    rf"(?:[eE](?P<power>[-+]?\d{{1,3}})| ?(?:\\times|\\cdot|\*) ?10 ?\^ ?\{{?(?P<ten>-?\d{{1,3}})\}}?)?)"
    rf"(?P<rest>.*)"
)
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
PART = re.compile(r" *(?:, *and\b|,|\band\b) *|(?<=[a-zA-Z}]) +(?=\d)")


@dataclass(frozen=True)
class Quantity:
    """A number as it stands, and its unit."""

    number: Fraction
    unit: Unit
    decimals: int = 0
    """digits after the point, where it is written as a decimal"""


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a text is, if it is one and nothing else."""
    found = QUANTITY.fullmatch(tidy(text, units=True)) if len(text) <= LONGEST else None
    if not found:
        return None
    rest = found["rest"]
    scale, _, after = rest.strip().partition(" ")
    factor = SCALES.get(scale.lower(), 1)
    if factor > 1:
        rest = " " + after
    if found["currency"]:
        if rest.strip() and not re.fullmatch("(?i) *(dollars?|euros?|usd|eur)", rest):
            return None
        rest = found["currency"]
    unit = read_unit(rest)
    number = _number(found)
    if unit is None or number is None:
        return None
    if unit.noun and not rest.startswith((" ", "\\unit", "(")):  # `2abc`
        return None
    _, _, decimals = (found["decimal"] or "").partition(".")
    return Quantity(number * factor, unit, len(decimals) - int(found["power"] or found["ten"] or 0) if decimals else 0)


def read_compound(text: str) -> Quantity | None:
    """`2 hours and 30 minutes`, `5 ft 6 in`: quantities of one measure from the largest unit to the smallest, as one in
    the smallest; and `4 boxes, 0 apples`, where all parts but one are nothing."""
    if len(text) > LONGEST:
        return None
    read = [read_quantity(part) for part in PART.split(tidy(text, units=True))]
    parts = [part for part in read if part and part.unit.measures]
    if len(parts) < 2 or len(parts) < len(read):
        return None
    if len({part.unit.measures for part in parts}) == 1:
        sizes = [part.unit.size for part in parts]
        falling = all(a > b for a, b in zip(sizes, sizes[1:])) and all(part.number >= 0 for part in parts)
        total = sum((part.number * part.unit.size for part in parts), Fraction(0))
        return Quantity(total / sizes[-1], parts[-1].unit) if falling else None
    rest = [part for part in parts if part.number]
    return rest[0] if len(rest) == 1 else None


def same_quantity(reference: Quantity, answer: Quantity) -> bool | None:
    """Whether they are equal; None where a letter may be a unit or a variable."""
    a, b = reference.unit, answer.unit
    if a.measures == b.measures:
        number = answer.number * b.size / a.size
        return reference.number == number or rounds_to(number, reference, answer.decimals)
    if a.measures and b.measures:
        return None if a.doubtful or b.doubtful else False
    bare, dressed = (answer, reference) if a.measures else (reference, answer)
    if dressed.unit.doubtful:
        return None
    if rounds_to(answer.number, reference, answer.decimals):
        return True
    percent = is_percent(dressed.unit)
    if percent and bare.number == dressed.number / 100:
        return True
    return bare.number == dressed.number and (not percent or abs(bare.number) >= 1)


def is_percent(unit: Unit) -> bool:
    return unit.measures == (("percent", 1),)


def rounds_to(number: Fraction, reference: Quantity, decimals: int = 0) -> bool:
    """Whether a reference that is visibly rounded is this number.

    Visibly rounded: six decimals or more, of which four digits say something. The number must round to it at its last
    digit, and not be a shorter decimal. With 15 digits or more it is the print of a binary float, whose last digits are
    noise: then the number may differ by 2 units in the last of the float's 53 bits.
    """
    places, given = reference.decimals, reference.number
    digits = len(str(abs(int(given * 10 ** max(places, 0)))))
    if places < 6 or digits < 4:
        return False
    if digits >= 15 and abs(number - given) <= abs(given) * Fraction(4, 2**53):
        return True
    longer = not decimals or decimals > places
    return longer and abs(number - given) * 2 * 10**places <= 1


def _number(found: re.Match[str]) -> Fraction | None:
    if found["ratio"]:
        over, under = [int(part) for part in found.group("a", "b", "c", "d", "e", "f") if part]
        if not under:
            return None
        number = int(found["mixed"] or 0) + Fraction(over, under)
    elif found["repeating"]:
        number = _repeating(found["repeating"], found["period"] or found["period2"])
    else:
        power = int(found["power"] or found["ten"] or 0)
        number = Fraction(re.sub("[ ,]", "", found["decimal"]).rstrip(".")) * Fraction(10) ** power
    return -number if (found["sign"] + found["minus"]).count("-") % 2 else number


def _repeating(text: str, period: str) -> Fraction:
    whole, _, rest = text.partition(".")
    fixed = re.match(r"\d*", rest)
    once = fixed[0] if fixed else ""
    return Fraction(int((whole or "0") + once), 10 ** len(once)) + Fraction(
        int(period), (10 ** len(period) - 1) * 10 ** len(once)
    )
