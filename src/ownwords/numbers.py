"""Numbers that a person can set, with their range beside them: `attempts: Annotated[int, whole(1, 1000)] = 4`.

The same declaration reads the option on the command line and in a YAML file, strictly (1.5 attempts are an error, not
two), and is what `check` holds a dataclass to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from cyclopts import CycloptsError, Parameter


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, or a word."""

    what: str
    low: float
    high: float
    above: bool = False
    """`low` itself does not belong to it"""
    below: bool = False
    """`high` does not"""
    word: str = ""
    """that stands for a value which is no number, such as auto; `inf` for that number"""

    @property
    def expected(self) -> str:
        low = f" above {self.low:g}" if self.above else f" from {self.low:g}"
        high = " to below" if self.below else ", up to" if self.above else " to"
        end = f"{high} {self.high:.10g}" if self.high < sys.maxsize else "" if self.above else " up"
        return f"{self.what}{low}{end}" + (f", or {self.word}" if self.word else "")

    def holds(self, value: Any) -> bool:
        if self.word and str(value) == self.word:
            return True
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return low and high and (self.what != WHOLE or value == int(value))

    def __call__(self, kind: Any, tokens: Sequence[Any]) -> Any:
        """The value of an option's text, as cyclopts asks for it."""
        [token] = tokens
        text = token.value.strip()
        if text.lower() == "none" and type(None) in get_args(kind):
            return None
        value = self._read(text)
        if not self.holds(value):
            name = (token.keyword or "the value").replace("][", ".").strip("[]")  # [a][b] is of a file
            raise CycloptsError(msg=f"{name} is {value!r}, expected {self.expected}")
        return value

    def _read(self, text: str) -> Any:
        if text == self.word:
            return math.inf if text == "inf" else text
        for kind in (int, float) if self.what == WHOLE else (float,):
            try:
                value = kind(text)
            except ValueError:
                continue
            return int(value) if self.what == WHOLE and value == value // 1 else value
        return text


WHOLE = "a whole number"


def whole(low: int = 0, high: int = sys.maxsize, word: str = "") -> Parameter:
    return Parameter(converter=Range(WHOLE, low, high, word=word))


def real(what: str, low: float, high: float = math.inf, above: bool = False, below: bool = False) -> Parameter:
    return Parameter(converter=Range(what, low, high, above, below))


Count = Annotated[int, whole(1)]
CountOrNone = Annotated[int | None, whole(1)]
CountOr0 = Annotated[int, whole()]
Seed = Annotated[int, whole(0, 2**32 - 1)]
"""as all of the libraries take one"""
Processes = Annotated[int, whole(1, 1024)]
Deadline = Annotated[float, real("seconds", 0.1, 86400)]
"""for one answer; a shorter one voids the verdict on nearly every answer"""
Share = Annotated[float, real("a share", 0, 1)]
ShareAbove0 = Annotated[float, real("a share", 0, 1, above=True)]


def check(config: Any) -> None:
    """Raise ValueError for the first field of a dataclass that is out of its range; fields of its fields too."""
    for name, value, declared in _declared(config):
        if value is not None and not declared.holds(value):
            raise ValueError(f"{name.replace('_', '-')} is {value!r}, expected {declared.expected}")


def _declared(config: Any) -> Iterator[tuple[str, Any, Range]]:
    for name, ranges in _ranges(type(config)).items():
        value = getattr(config, name)
        if is_dataclass(value):
            yield from ((f"{name}.{inner}", one, declared) for inner, one, declared in _declared(value))
        for declared in ranges:
            yield name, value, declared


@cache
def _ranges(kind: type) -> dict[str, list[Range]]:
    hints = get_type_hints(kind, include_extras=True)
    given = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {
        name: [one.converter for one in marks if isinstance(one, Parameter) and isinstance(one.converter, Range)]
        for name, marks in given.items()
    }
