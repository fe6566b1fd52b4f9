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

LONGEST = 400
"""characters; a longer number is compared as text"""
DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
RATIO = r"\\frac ?\{ ?(?P<a>\d+) ?\} ?\{ ?(?P<b>\d+) ?\}|\\frac ?(?P<c>\d) ?(?P<d>\d)|(?P<e>\d+) ?/ ?(?P<f>\d+)"
QUANTITY = re.compile(
    rf"(?P<sign>[-+]?) ?(?P<currency>(?:US)?\$|€|£|¥|USD|EUR|GBP)? ?(?P<minus>-?) ?"
    rf"(?:(?P<mixed>(?:\d+ ?(?=\\)|\d+ (?=\d+ ?/))?)(?P<ratio>{RATIO})|(?P<decimal>{DECIMAL})"
    rf"(?:[eE](?P<power>[-+]?\d{{1,3}})| ?\\(?:times|cdot) ?10\^\{{?(?P<ten>-?\d{{1,3}})\}}?)?)"
    rf"(?P<rest>.*)"
)
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
NO_UNIT = frozenset(
    "and or more less least most not than over under plus minus times factorial squared cubed half tenths hundredths "
    "thousandths sin cos tan log exp sqrt mod to is".split()
)
"""words that change the number before them"""
# unit -> (what it measures, how many of that measure's base)
UNITS: dict[str, tuple[str, Fraction]] = {
    name: (measure, Fraction(size))
    for measure, units in {
        "length": "mm .001 millimeter .001 cm .01 centimeter .01 m 1 meter 1 km 1000 kilometer 1000 "
        "in .0254 inch .0254 ft .3048 foot .3048 feet .3048 yd .9144 yard .9144 mi 1609.344 mile 1609.344",
        "mass": "mg .001 milligram .001 g 1 gram 1 kg 1000 kilogram 1000 oz 28.349523125 ounce 28.349523125 "
        "lb 453.59237 pound 453.59237",
        "time": "s 1 sec 1 second 1 min 60 minute 60 h 3600 hr 3600 hour 3600 day 86400 week 604800",
        "volume": "ml .001 milliliter .001 l 1 liter 1 litre 1",
        "dollars": "$ 1 US$ 1 usd 1 dollar 1 cent .01 ¢ .01",
        "euros": "€ 1 eur 1 euro 1",
        "pounds sterling": "£ 1 gbp 1",
        "yen": "¥ 1 yen 1",
        "percent": "% 1 percent 1 percentage 1 pct 1",
        "angle": r"^\circ 1 ^{\circ} 1 degree 1",
    }.items()
    for name, size in zip(units.split()[::2], units.split()[1::2], strict=True)
}
SYNONYMS = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "metre": "meter", "people": "person", "feet": "foot"}


@dataclass(frozen=True)
class Unit:
    """What a number counts."""

    measure: str = ""
    """`length`, `length^2`, `length/time`, `dollars`, `percent`, ...; an unknown unit is its own; empty for none"""
    size: Fraction = Fraction(1)
    """in the measure's base unit"""
    doubtful: bool = False
    """one letter, which may be a variable"""


@dataclass(frozen=True)
class Quantity:
    """A number as it stands, and its unit."""

    number: Fraction
    unit: Unit


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a text is, if it is one and nothing else."""
    found = QUANTITY.fullmatch(tidy(text)) if len(text) <= LONGEST else None
    if not found:
        return None
    rest = found["rest"].strip()
    scale, _, after = rest.partition(" ")
    if scale.lower() in SCALES:
        rest = after
    if found["currency"]:
        if rest and not re.fullmatch("(?i)dollars?|euros?|usd|eur", rest):
            return None
        rest = found["currency"]
    unit = read_unit(rest, apart=found["rest"].startswith(" "))
    number = _number(found)
    if unit is None or number is None:
        return None
    return Quantity(number * SCALES.get(scale.lower(), 1), unit)


def same_quantity(reference: Quantity, answer: Quantity) -> bool | None:
    """Whether they are equal; None where a letter may be a unit or a variable."""
    a, b = reference.unit, answer.unit
    if a.measure == b.measure:
        return reference.number * a.size == answer.number * b.size
    if a.measure and b.measure:
        return False
    bare, dressed = (answer, reference) if a.measure else (reference, answer)
    if dressed.unit.doubtful:
        return None
    if dressed.unit.measure == "percent" and bare.number == dressed.number / 100:
        return True
    return bare.number == dressed.number and (dressed.unit.measure != "percent" or abs(bare.number) >= 1)


def read_unit(text: str, apart: bool = True) -> Unit | None:
    """The unit that a text names: a known one, or any word that stands `apart` from its number; None if it is none."""
    text = re.sub(r"\\frac ?\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
    parts = re.sub(r"(?i)\bper\b", "/", text).strip().split("/")
    parts = [part for given in parts for part in SYNONYMS.get(given.strip().lower(), given).split("/")]
    if parts == [""]:
        return Unit()
    units = [unit for part in parts if (unit := _simple(part.strip(), apart))]
    if len(units) > 2 or len(units) < len(parts):
        return None
    over, *under = units
    size = over.size / under[0].size if under else over.size
    return Unit("/".join(unit.measure for unit in units), size, over.doubtful and not under)


def _simple(text: str, apart: bool) -> Unit | None:
    """`cm`, `square inches`, `m^2`, `apples`."""
    power = 1
    if raised := re.fullmatch(r"(.*[a-zA-Z]) ?\^ ?\{?([23])\}?", text):
        text, power = raised[1], int(raised[2])
    words = [SYNONYMS.get(word, word) for word in text.lower().split()]
    if words and words[0] in POWERS:
        power, words = POWERS[words[0]], words[1:]
    name = _singular(words[-1]) if words else ""
    if len(words) == 1 and name in UNITS:
        measure, size = UNITS[name]
    elif apart and all(re.fullmatch("[a-z]{3,}", word) and word not in NO_UNIT for word in words) and words:
        measure, size = name, Fraction(1)
    else:
        return None
    letter = power == 1 and len(text) == 1 and text.isalpha()
    return Unit(f"{measure}^{power}" if power > 1 else measure, size**power, doubtful=letter)


def _singular(word: str) -> str:
    if word in UNITS or word.endswith("ss"):
        return word
    return re.sub(r"(?<=ch|sh)es$|(?<=s)es$|(?<=x)es$|s$", "", word)


def _number(found: re.Match[str]) -> Fraction | None:
    if found["ratio"]:
        over, under = [int(part) for part in found.group("a", "b", "c", "d", "e", "f") if part]
        if not under:
            return None
        number = int(found["mixed"] or 0) + Fraction(over, under)
    else:
        power = int(found["power"] or found["ten"] or 0)
        number = Fraction(re.sub("[ ,]", "", found["decimal"]).rstrip(".")) * Fraction(10) ** power
    return -number if (found["sign"] + found["minus"]).count("-") % 2 else number
