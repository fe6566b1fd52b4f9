"""Answers as text: what is only dress taken off, equality word by word, and whether a text is mathematics at all."""

from __future__ import annotations

import itertools
import re

UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "ℝ": r"\mathbb{R}", "θ": r"\theta ", "…": r"\ldots ", "µ": "μ",
    "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip
ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|[a-zA-Z]))")
WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|sc|up|normal)?|math(?:rm|bf|it|sf|tt|normal)|mbox|hbox|emph|operatorname\*?|bm|bf|rm|boxed|fbox"
    r"|boldsymbol|underline|(?:text)?color\{[a-zA-Z]+\})"
    r"\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|\\(?:q?quad|enspace|thinspace)(?![a-zA-Z])|~")
BARE = re.compile(r"\\(?:left|right|displaystyle|textstyle|bf|rm|limits|[lL]arge|LARGE|[bB]igg?[lrm]?)(?![a-zA-Z])")
MATH = re.compile(r"(?<!\\)\$([^$]*)(?<!\\)\$")
CASED = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]{2,}")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
WORD = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{4,}")
NO_WORDS = frozenset(
    "sqrt sinh cosh tanh sech csch coth arcsin arccos arctan frac infinity infty degrees degree radians "
    "units unit square cubic cubed squared where with integer integers real theta alpha beta gamma delta lambda".split()
)
"""words that stand in formulas"""


def latex(text: str) -> str:
    """Signs that have a LaTeX command as that command."""
    text = ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    for sign, command in UNICODE.items():
        text = text.replace(sign, command)
    return text.replace(r"\varnothing", r"\emptyset")


def tidy(text: str, units: bool = False) -> str:
    """Without math delimiters, text commands, spacing commands and a final full stop; `\\$`, `\\%` and `{,}` as their
    signs. What may tell one answer from another stays: units, currency, percent, digits with a space between.

    With `units`, text in a text command is left as `\\unit{...}`, so that `3\\text{ m}` is not `3m`.
    """
    text = latex(text).strip()
    if text.startswith("**") and text.endswith("**"):
        text = text.strip("* ")
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2]
    text = MATH.sub(r"\1", text.replace("$$", "$"))  # `$125$ miles`; one sign alone is a currency
    text = text[:-1] if text.endswith("$") and not text.endswith("\\$") else text
    for _ in range(3):  # `\boxed{\text{\$}5}`
        text, found = WRAPPER.subn(_unit if units else r" \1 ", text)
        if not found:
            break
    text = re.sub(r"(?:(?<=\d)\\[,!]|(?<=\d,)\\! ?)(?=\d{3}(?!\d))", "", text)  # 1\,000 and 1,\!000
    text = (
        BARE.sub("", SPACE.sub(" ", text))
        .replace(r"\$", "$")
        .replace(r"\%", "%")
        .replace("{,}", ",")
        .replace("{:}", ":")
    )
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"\\(leq|geq|neq)(?:slant)?(?![a-zA-Z])", lambda m: "\\" + m[1][:2], text)
    text = " ".join(text.split()).rstrip(".")
    return text[1:-1].strip() if re.fullmatch(r"\{[^{},]*\}", text) else text


def _unit(found: re.Match[str]) -> str:
    """What a text command holds. What could be variables without it (`\\mathrm{m\\,s^{-1}}`) is left as a `\\unit`."""
    inner = SPACE.sub(" ", found[1]).strip()
    plain = re.fullmatch(r"[a-zA-Z]|(?=.*[a-zA-Z])[a-zA-Zμ /^{}\-\d.]*[\^/][a-zA-Zμ /^{}\-\d.]*", inner)
    return rf" \unit{{{inner}}} " if plain and not inner[:1].isdigit() else f" {found[1]} "


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
    text = re.sub(r"_\{(\w)\}", r"_\1", text)
    if THOUSANDS.fullmatch(text):
        return text.replace(",", "").removeprefix("+")
    # A space between two digits is kept: `1 2` is not 12. So is one that tells `1, 200` from 1,200.
    text = re.sub(r"(?<=\d,) (?!\d{3}(?!\d))|(?<!\d)(?<!\d,) | (?!\d)", "", text)
    return text.removeprefix("+")


def _canonical(number: str) -> tuple[str, str]:
    """Digits before and after the point, without the zeros that say nothing."""
    sign = "-" if number.startswith("-") else ""
    whole, _, part = number.lstrip("-").partition(".")
    whole, part = whole.lstrip("0"), part.rstrip("0")
    return (sign if whole or part else "") + whole, part
