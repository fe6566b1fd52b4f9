"""Numbers that a person can set, with their range beside them: `attempts: Annotated[int, whole(1, 1000)] = 4`.

The same declaration reads the option on the command line and in a YAML file, strictly (1.5 attempts are an error, not
two), and is what `check` holds a dataclass to.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from ownwords.configuration import FieldError, options

WHOLE = "a whole number"


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

    def read(self, text: str) -> Any:
        """The value that a text spells; the text itself if it spells none."""
        if text == self.word:
            return math.inf if text == "inf" else text
        for kind in (int, float) if self.what == WHOLE else (float,):
            try:
                value = kind(text)
            except ValueError:
                continue
            return int(value) if self.what == WHOLE and value == value // 1 else value
        return text


def whole(low: int = 0, high: int = sys.maxsize, word: str = "") -> Range:
    return Range(WHOLE, low, high, word=word)


def real(what: str, low: float, high: float = math.inf, above: bool = False, below: bool = False) -> Range:
    return Range(what, low, high, above, below)


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
    """Raise FieldError for the first option of a configuration that is out of its range."""
    for option in options(type(config)).values():
        value = option.of(config)
        for mark in option.marks:
            if isinstance(mark, Range) and value is not None and not mark.holds(value):
                raise FieldError(option.name, f"{{{option.name}}} is {{}}, expected {{}}", repr(value), mark.expected)
