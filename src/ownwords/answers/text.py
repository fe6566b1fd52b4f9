"""Answers as text: what is only dress taken off, equality word by word, and whether a text is mathematics at all."""

from __future__ import annotations

import itertools
import re

UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ",
    "≤": r"\le ", "≥": r"\ge ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ",
    "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip
ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|[a-zA-Z]))")
WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
SPACE = re.compile(r"\\[,;:! ]|\\q?quad(?![a-zA-Z])|~")
BARE = re.compile(r"\\(?:left|right|displaystyle|bf|rm)(?![a-zA-Z])")
CASED = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]{2,}")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
WORD = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{4,}")
NO_WORDS = frozenset(
    "sqrt sinh cosh tanh sech csch coth arcsin arccos arctan frac infinity infty degrees degree radians "
    "units unit square cubic cubed squared where with integer integers real".split()
)
"""words that stand in formulas"""


def latex(text: str) -> str:
    """Signs that have a LaTeX command as that command."""
    text = ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    for sign, command in UNICODE.items():
        text = text.replace(sign, command)
    return text.replace(r"\varnothing", r"\emptyset")


def tidy(text: str) -> str:
    """Without math delimiters, text commands, spacing commands and a final full stop; `\\$`, `\\%` and `{,}` as their
    signs. What may tell one answer from another stays: units, currency, percent, digits with a space between."""
    text = latex(text).strip()
    for opening, closing in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if len(text) > 2 and text.startswith(opening) and text.endswith(closing) and not text.endswith("\\$"):
            text = text[len(opening) : -len(closing)]
    text = WRAPPER.sub(r" \1 ", text)
    text = re.sub(r"\\[,!](?=\d{3}(?!\d))", "", text)  # 1\,000
    text = BARE.sub("", SPACE.sub(" ", text)).replace(r"\$", "$").replace(r"\%", "%").replace("{,}", ",")
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = " ".join(text.split()).rstrip(".")
    return text[1:-1].strip() if re.fullmatch(r"\{[^{},]*\}", text) else text


def same_text(reference: str, answer: str) -> bool:
    """Equal letter by letter once the dress is gone, case of words aside; or equal as plain decimal numbers."""
    a, b = _letters(reference), _letters(answer)
    if a == b:
        return bool(a)
    return bool(NUMBER.fullmatch(a) and NUMBER.fullmatch(b)) and _canonical(a) == _canonical(b)


def depth(text: str) -> int:
    """How many brackets are open at once, at most."""
    steps = (1 if sign in "([{" else -1 if sign in ")]}" else 0 for sign in text)
    return max(itertools.accumulate(steps, lambda level, step: max(0, level + step), initial=0))


def is_words(text: str) -> bool:
    """Whether this is language and not a formula: it has a word of four letters, or is nothing but words of three."""
    text = tidy(re.sub(r"\\(?:begin|end)\s*\{[^{}]*\}", " ", text))
    words = [word.lower() for word in WORD.findall(text)]
    return any(word not in NO_WORDS for word in words) or bool(re.fullmatch(r"[a-zA-Z]{3,}([ ,]+[a-zA-Z]{3,})*", text))


def _letters(text: str) -> str:
    text = CASED.sub(lambda m: m[0] if m[0].startswith("\\") else m[0].lower(), tidy(text))
    # A space between two digits is kept: `1 2` is not 12. So is a comma in anything but a plain number: `(1,200)`.
    text = re.sub(r"(?<!\d) | (?!\d)", "", text).removeprefix("+")
    return text.replace(",", "") if THOUSANDS.fullmatch(text) else text


def _canonical(number: str) -> tuple[str, str]:
    """Digits before and after the point, without the zeros that say nothing."""
    sign = "-" if number.startswith("-") else ""
    whole, _, part = number.lstrip("-").partition(".")
    whole, part = whole.lstrip("0"), part.rstrip("0")
    return (sign if whole or part else "") + whole, part
