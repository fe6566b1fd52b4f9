"""What a number counts: units of measure with their powers, and any other noun.

`5 m/s`, `5 \\unit{m s^{-1}}`, `5 meters per second` and `18 km/h` measure the same and are converted exactly.
A noun that is no unit of measure (`apples`) measures itself.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

MEASURES = {
    "length": "meter 1 metre 1 in .0254 inch .0254 ft .3048 foot .3048 feet .3048 yd .9144 yard .9144 "
    "mi 1609.344 mile 1609.344 kilometer 1000 kilometre 1000 centimeter .01 centimetre .01 millimeter .001",
    "mass": "gram 1 kilogram 1000 milligram .001 oz 28.349523125 ounce 28.349523125 lb 453.59237 lbs 453.59237 "
    "pound 453.59237 ton 1000000 tonne 1000000",
    "time": "sec 1 second 1 min 60 minute 60 h 3600 hr 3600 hour 3600 day 86400 week 604800",
    "month": "month 1 year 12 yr 12",
    "volume": "liter 1 litre 1 milliliter .001",
    "dollars": "$ 1 US$ 1 usd 1 dollar 1 cent .01 ¢ .01",
    "euros": "€ 1 eur 1 euro 1",
    "pounds sterling": "£ 1 gbp 1",
    "yen": "¥ 1 yen 1",
    "percent": "% 1 percent 1 percentage 1 pct 1",
    "angle": r"^\circ 1 ^{\circ} 1 degree 1 deg 1",
    "celsius": r"^\circ C 1 ^{\circ} C 1 ^\circC 1 ^{\circ}C 1 celsius 1".replace(" C ", "\0C "),
    "fahrenheit": r"^\circ F 1 ^{\circ} F 1 ^\circF 1 ^{\circ}F 1 fahrenheit 1".replace(" F ", "\0F "),
    "plane angle": "radian 1 rad 1",
}  # fmt: skip
# symbol of the SI -> (measures with their powers, size in metres, grams, seconds, amperes, kelvins, moles)
SYMBOLS: dict[str, tuple[dict[str, int], int]] = {
    "m": ({"length": 1}, 1), "g": ({"mass": 1}, 1), "s": ({"time": 1}, 1), "A": ({"current": 1}, 1),
    "K": ({"kelvin": 1}, 1), "mol": ({"amount": 1}, 1), "L": ({"volume": 1}, 1), "l": ({"volume": 1}, 1),
    "N": ({"mass": 1, "length": 1, "time": -2}, 1000), "J": ({"mass": 1, "length": 2, "time": -2}, 1000),
    "W": ({"mass": 1, "length": 2, "time": -3}, 1000), "Pa": ({"mass": 1, "length": -1, "time": -2}, 1000),
    "Hz": ({"time": -1}, 1), "C": ({"current": 1, "time": 1}, 1),
    "V": ({"mass": 1, "length": 2, "time": -3, "current": -1}, 1000),
}  # fmt: skip
PREFIXES: dict[str, int | Fraction] = {
            "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "c": Fraction(1, 100), "d": Fraction(1, 10),
            "m": Fraction(1, 1000), "μ": Fraction(1, 10**6), "n": Fraction(1, 10**9)}  # fmt: skip
NAMES = {"newton": "N", "joule": "J", "watt": "W", "pascal": "Pa", "hertz": "Hz", "coulomb": "C", "volt": "V",
         "kelvin": "K", "ampere": "A", "mole": "mol", "ml": "mL"}  # fmt: skip
SYNONYMS = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "people": "person", "children": "child", "men": "man",
            "women": "woman", "mice": "mouse", "sq": "square", "cu": "cubic"}  # fmt: skip
POWERS = {"square": 2, "cubic": 3}
LONGEST = 100
"""characters"""
NO_UNIT = frozenset(
    "and or more less least most not than over under plus minus times factorial squared cubed half tenths hundredths "
    "thousandths sin cos tan cot sec csc log exp sqrt mod to is the pi in if for all any but only about around where "
    "hundred thousand million billion trillion dozen base max min gcd lcm det deg arcsin arccos arctan "
    "january february march april may june july august september october november december "
    "monday tuesday wednesday thursday friday saturday sunday".split()
) - {"min", "deg"}
"""words that change the number before them"""
FACTOR = re.compile(
    r"(?P<name>\^\\circ ?[CF]?(?![a-zA-Z])|\^\{\\circ\} ?[CF]?(?![a-zA-Z])|[a-zA-Zμ]+\.?|%|US\$|[$€£¥¢])"
    r"(?: ?\^ ?\{? ?(?P<power>-?\d)\}?| (?P<raised>squared|cubed))?"
)


@dataclass(frozen=True)
class Unit:
    """What a number counts."""

    measures: tuple[tuple[str, int], ...] = ()
    """each measure with its power, sorted: `(("length", 1), ("time", -1))`; empty for none"""
    size: Fraction = Fraction(1)
    """in the measures' base units"""
    doubtful: bool = False
    """one letter without a text command and close to its number, which may be a variable"""
    noun: bool = False
    """no unit of measure"""


def _table() -> dict[str, tuple[dict[str, int], Fraction]]:
    table = {
        prefix + symbol: (powers, size * Fraction(factor))
        for symbol, (powers, size) in SYMBOLS.items()
        for prefix, factor in PREFIXES.items()
    }
    for measure, units in MEASURES.items():
        names = units.split()
        for name, size in zip(names[::2], names[1::2], strict=True):
            table[name.replace("\0", " ")] = ({measure: 1}, Fraction(size))
    return table | {name: table[symbol] for name, symbol in NAMES.items()}


TABLE = _table()
KNOWN = frozenset(measure for powers, _ in TABLE.values() for measure in powers)


def read_unit(text: str) -> Unit | None:
    """The unit that a text names, a known one or a noun, as it stands after a number; None if it is none."""
    text = text.strip()
    if len(text) > LONGEST:
        return None
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip().removeprefix("in ")
    dressed = r"\unit" in text
    text = re.sub(r"^of (?:the |a |an |his |her |their )?|(?i:degrees? (?=celsius|fahrenheit))", "", text)
    text = re.sub(r"\\unit ?\{((?:[^{}]|\{[^{}]*\})*)\}", r" \1 ", text)
    text = re.sub(r"\\frac ?\{([^{}]*)\} ?\{([^{}]*)\}", r"\1/\2", text)
    text = " ".join(re.sub(r"\bper\b", "/", re.sub(r"\\cdot|[·*]", " ", text)).split())
    if not text:
        return Unit()
    powers: Counter[str] = Counter()
    size = Fraction(1)
    over, *under = text.split("/")
    for sign, chunk in [(1, over), *((-1, part) for part in under)]:
        product = _product(chunk.strip(" ()") if sign < 0 else chunk.strip())
        if product is None:
            return None
        for measure, power in product[0].items():
            powers[measure] += sign * power
        size *= product[1] ** sign
    measures = tuple(sorted((measure, power) for measure, power in powers.items() if power))
    noun = any(measure not in KNOWN for measure in powers)
    return Unit(measures, size, doubtful=not dressed and bool(re.fullmatch("[a-zA-Z]", text)), noun=noun)


def _product(text: str) -> tuple[dict[str, int], Fraction] | None:
    """`cm`, `square inches`, `N m^2`, `green apples`: (measures with powers, size)."""
    words = [SYNONYMS.get(word.rstrip("."), word) for word in text.split()]
    if any("/" in word for word in words):
        unit = read_unit(" ".join(words))
        return (dict(unit.measures), unit.size) if unit else None
    text = " ".join(words)
    factors = list(FACTOR.finditer(text))
    if not factors or FACTOR.sub("", text).strip():
        return None
    powers: Counter[str] = Counter()
    size, raise_to, unknown = Fraction(1), 1, ""
    for factor in factors:
        name = factor["name"].rstrip(".")
        if name.lower() in POWERS:
            raise_to = POWERS[name.lower()]
            continue
        power = int(factor["power"] or {"squared": 2, "cubed": 3}.get(factor["raised"] or "", raise_to))
        found = _look_up(name)
        if found is None:
            if len(name) < 3 or name.lower() in NO_UNIT or not name.isalpha():
                return None
            unknown, found = name, ({_singular(name.lower()): 1}, Fraction(1))
        for measure, exponent in found[0].items():
            powers[measure] += exponent * power
        size *= found[1] ** power
        raise_to = 1
    if unknown:  # `green apples`, `pounds of sugar`: one noun, named by its last word
        return {_singular(name.lower()): power}, Fraction(1)
    return (dict(powers), size) if powers else None


def _look_up(name: str) -> tuple[dict[str, int], Fraction] | None:
    for spelling in (name, name.lower(), SYNONYMS.get(name.lower(), ""), _singular(name.lower())):
        if spelling in TABLE and not (len(name) == 1 and spelling != name):
            return TABLE[spelling]
    return None


def _singular(word: str) -> str:
    word = SYNONYMS.get(word, word)
    if word in TABLE or word.endswith("ss"):
        return word
    return re.sub(r"(?<=ch|sh)es$|(?<=s)es$|(?<=x)es$|s$", "", word)
