"""Where mathematics stands in a passage of prose: runs of numbers, operators and formulas.

`she has 3 + 4 = 7 apples left` has one run, `3 + 4 = 7`. What belongs together stays so: `2 1/2`, `12 345`, `7:32`,
`6.02 \\times 10^{23}`, `$x = 3$`.
"""

from __future__ import annotations

import re

MATH = (
    r"\$\$[^$]+\$\$|\\\[(?:(?!\\[\[\]]).)+\\\]|\\\((?:(?!\\[()]).)+\\\)"
    r"|(?<![\\$\w])\$(?=[^\s$])(?:[^$\\\n]|\\.)*(?<=\S)\$(?!\d)"
)
"""`$5 and $6` is no math: its second `$` stands behind a space, or before a digit"""
TOKEN = re.compile(
    rf"(?:{MATH})|(?:(?!{MATH})(?:\\(?:text|mbox|mathrm|textrm|textnormal)\s?\{{[^{{}}]*\}}|\S))+", re.DOTALL
)
SPAN = re.compile(MATH, re.DOTALL)
NUMBER = r"[-−+]?(?:US)?[$€£¥]?[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.?|\.(?=\d))\d*(?:[eE][-+−]?\d{1,3})?"
PLAIN = re.compile(rf"{NUMBER}(?:/\d+)?(?:\\?%|°)?")
WITH_UNIT = re.compile(rf"{NUMBER}(?!st\b|nd\b|rd\b|th\b)[a-zA-Z]{{1,4}}[²³]?")
CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?:[ap]\.?m\.?)?", re.IGNORECASE)
RANGE = re.compile(r"\d+(?:[.,]\d+)*[-–—~]\d+(?:[.,]\d+)*%?")
LABEL = re.compile(r"[A-Za-z]{2,}:(?=[\d(])")
RATE = re.compile(rf"({NUMBER})/[a-zA-Z]{{2,}}")
"""`$7/week`, as a token"""
OPERATOR = re.compile(r"[-+*/×÷·^=<>≤≥≈±−–—|!]{1,2}|:=|\\[a-zA-Z]+")
FORMULA = re.compile(r"[-+−±*/×÷·^=<>≤≥≈(){}\[\],.|!:_%°²³√π∞∪∩\d\\a-zA-Z$]+")
LONG_WORD = re.compile(r"(?<![\\a-zA-Z])(?!sqrt|sin|cos|tan|log|ln|exp|pi\b|frac|infinity|inf\b)[a-zA-Z]{2,}")


def runs_of(text: str) -> list[tuple[int, int]]:
    """Where mathematics stands: (start, end) of each run of tokens that are numbers, operators or formulas."""
    found: list[tuple[int, int]] = []
    open_run = spanned = False
    for token in TOKEN.finditer(text):
        word = token[0]
        if not word:
            continue
        start, bare = token.start(), word
        if not SPAN.fullmatch(word):
            bare = word if re.search(r"\\[,;:!]$", word) else word.rstrip(".,;:!?\"'*`") or word
            lead = len(bare) - len(bare.lstrip("\"'*`") or bare)
            start, bare = start + lead, bare[lead:]
            if bare.startswith("(") and bare.endswith(")") and not re.search(r"[,\d]", bare):
                bare = ""
        if label := LABEL.match(bare):
            start, bare = start + label.end(), bare[label.end() :]
        if rate := RATE.fullmatch(bare):
            bare = rate[1]
        kind = _kind(bare)
        span = bool(SPAN.fullmatch(bare))
        if kind and open_run and not (span and spanned):
            found[-1] = (found[-1][0], start + len(bare))
        elif kind and kind != "operator" or (kind and re.fullmatch(r"[-−+±–—]|\\[a-z]+", bare)):
            found.append((start, start + len(bare)))
        spanned = span
        open_run = bool(kind) and word.endswith(bare) and bool(found) and not (span and re.search(r"[,.;]\W*$", bare))
    return [run for run in found if re.search(r"[\da-zA-Z\\√π∞]", text[run[0] : run[1]])]


def _kind(token: str) -> str:
    """`number`, `operator`, `formula`, or empty for a word."""
    if not token or token in ("a", "A", "I"):
        return ""
    if SPAN.fullmatch(token) or PLAIN.fullmatch(token) and re.search(r"\d", token) or CLOCK.fullmatch(token):
        return "number"
    if OPERATOR.fullmatch(token):
        return "operator"
    if RANGE.fullmatch(token) or (WITH_UNIT.fullmatch(token) and re.search(r"\d", token)):
        return "number"
    if "\\" in token:
        return "formula"
    if FORMULA.fullmatch(token) and not LONG_WORD.search(token):
        return "formula" if re.search(r"[\d=+^√π∞{}]", token) or len(token.strip("(){}[].,")) == 1 else ""
    return ""


def undressed(text: str) -> str:
    """A passage without emphasis, quotes, a final stop, and the delimiters of math that are open or closed only."""
    text = text.strip()
    while True:
        before = text
        text = re.sub(r"^[*_`\"“”]+|[*_`\"“”]+$", "", text).strip()
        text = re.sub(r"(?<!\\)[.,;:]+$", "", text) if not re.search(r"\b[apAP]\.[mM]\.$|\\[,;:]$", text) else text
        surplus = sum(map(text.count, ")]}")) - sum(map(text.count, "([{"))
        if surplus > 0 and not re.match(r"[A-Ja-j]\)", text):
            text = re.sub(rf"(?<!\\)[)\]}}]{{1,{surplus}}}$", "", text)
        if text.startswith("'") and text.endswith("'") and len(text) > 2:
            text = text[1:-1]
        for opening, closing in ((r"\[", r"\]"), (r"\(", r"\)"), ("$$", "$$")):
            if text.endswith(closing) and opening not in text[: -len(closing)]:
                text = text[: -len(closing)]
            if text.startswith(opening) and closing not in text[len(opening) :]:
                text = text[len(opening) :]
        if text.endswith("$") and not text.endswith("\\$") and len(re.findall(r"(?<!\\)\$", text)) % 2:
            text = text[:-1]
        if text.startswith("$") and text.count("$") == 1 and not re.match(r"\$\s?[\d.]", text):
            text = text[1:]
        if text == before:
            return text
