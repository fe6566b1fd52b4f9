"""Lists and dicts that were written as text: JSON, Python's and numpy's spelling, as CSV files hold them.

numpy leaves the commas out (`['2' '4']`), which Python would read as one string, and calls its arrays by name. Nothing
is evaluated: what is no literal is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"""
    r"""|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>[\[\](){}:,=]))""",
    re.DOTALL,
)
CLOSES = {"[": "]", "(": ")", "{": "}"}
NUMPY = re.compile(r"(?:np\.|numpy\.)?(?:array|str_|bool_|int\d+|float\d+)")
NOTHING = ("None", "null", "nan", "NaN")
DEEPEST = 5


def read_literal(text: str) -> Any:
    """Lists, dicts, texts and None; numbers and truth values as the text that spells them in Python's and numpy's way,
    as values in JSON. Raises ValueError for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    tokens = _tokens(text)
    value = _value(next(tokens), tokens, 0)
    if (more := next(tokens)) != ("end", ""):
        raise ValueError(f"{more[1]!r} after the end of the list")
    return value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            if text[at:].strip():
                raise ValueError(f"{text[at:].strip()[:20]!r} is no value")
            break
        yield str(found.lastgroup), found[str(found.lastgroup)]
        at = found.end()
    while True:
        yield "end", ""


def _value(token: tuple[str, str], tokens: Iterator[tuple[str, str]], depth: int) -> Any:
    kind, text = token
    if depth > DEEPEST:
        raise ValueError(f"lists in more than {DEEPEST} lists")
    if kind == "text":
        return ast.literal_eval(text)
    if kind == "number":
        return text
    if text in ("[", "("):
        return _items(text, tokens, depth)
    if text == "{":
        return _pairs(tokens, depth)
    if kind != "word":
        raise ValueError(f"{text or 'the end'!r} where a value should stand")
    if text in NOTHING:
        return None
    if text in ("True", "False"):
        return text
    if not NUMPY.fullmatch(text) or next(tokens) != ("sign", "("):
        raise ValueError(f"{text!r} is no value")
    inner = _items("(", tokens, depth)  # array([...], dtype=object), np.str_('2')
    if len(inner) != 1:
        raise ValueError(f"{text}() with {len(inner)} values")
    return inner[0]


def _items(opening: str, tokens: Iterator[tuple[str, str]], depth: int) -> list[Any]:
    items: list[Any] = []
    for token in tokens:
        if token == ("sign", CLOSES[opening]):
            return items
        if token == ("word", "dtype"):
            next(tokens), next(tokens)
        elif token != ("sign", ","):
            items.append(_value(token, tokens, depth + 1))
    raise AssertionError("tokens never end")


def _pairs(tokens: Iterator[tuple[str, str]], depth: int) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for token in tokens:
        if token == ("sign", "}"):
            return pairs
        if token != ("sign", ","):
            key = str(_value(token, tokens, depth + 1))
            if next(tokens) != ("sign", ":"):
                raise ValueError(f"no value for {key!r}")
            pairs[key] = _value(next(tokens), tokens, depth + 1)
    raise AssertionError("tokens never end")
