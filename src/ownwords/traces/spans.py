"""A trace as coloured text: spans of whole characters, each with who wrote it.

A character of several bytes may be spread over several tokens; such tokens are shown as one span, in the colour of the
first. Model output is hostile text: control characters are shown as symbols and never reach the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ownwords.records.tokens import Tokens

LONGEST = 8
"""tokens per character at the most; bytes that make no character after that are shown as U+FFFD"""


@dataclass(frozen=True)
class Span:
    """Text that decodes as a whole, and the tokens behind it: `start` up to, not including, `stop`."""

    text: str
    start: int
    stop: int


def spans(tokens: Tokens, decode: Callable[[Sequence[int]], str]) -> list[Span]:
    """The completion cut into decodable pieces. `decode` keeps special tokens."""
    return pieces(tokens.token_ids.tolist(), decode)


def pieces(ids: Sequence[int], decode: Callable[[Sequence[int]], str], ended: bool = True) -> list[Span]:
    """Tokens cut into decodable pieces. If they have not `ended`, what may become a character yet is left out."""
    found, start = [], 0
    for stop in range(1, len(ids) + 1):
        text = decode(ids[start:stop])
        if text.endswith("\ufffd") and stop - start < LONGEST and (stop < len(ids) or not ended):
            continue
        found.append(Span(text, start, stop))
        start = stop
    return found


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters become their symbols (U+2400 ...), direction marks and
    lone surrogates become U+FFFD."""
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or 0x20 <= code < 0x7F:
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    steers = 0x80 <= code < 0xA0 or 0x200E <= code <= 0x200F or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return "\ufffd" if steers or 0xD800 <= code < 0xE000 else character
