"""Options that stand in a text with their letters: `(A) 5 (B) 10`, `\\textbf{(A)}\\ 5 \\qquad ...`, `a ) 9 , b ) 18`.

They are found by their labels, which have to be consecutive from the first on and marked in one way. What stands
between two labels, without the dress around it, is the text of an option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase

from ownwords.answers.choices import LETTERS, read_letter
from ownwords.answers.text import same_text

DRESS = r"(?:\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|bf|rm)(?![a-zA-Z])\s*\{?\s*|\{\\bf\s+|\*\*)"
BEHIND = r"(?:\s|\\ |~|\*\*)*\}?"
LABEL = r"(?P<label>[A-Za-z]|(?P<number>\d\d?))"
MARKS = {
    "(A)": rf"(?:\$\s*)?{DRESS}?(?<![A-Za-z])[(（]\s*{DRESS}?\$?{LABEL}\$?\s*\}}?\s*[)）]{BEHIND}",
    "A)": rf"{DRESS}?(?<![\w(\\$]){LABEL}\s?\){BEHIND}",
    "A.": rf"{DRESS}?(?<![\w(\\.,]){LABEL}\s?[.．、](?(number)(?!\d)){BEHIND}",
    "A:": rf"{DRESS}?(?<![\w(\\.,]){LABEL}\s?[:：]{BEHIND}",
}
SAFE = ("(A)", "A)")
"""marks that hardly stand in a sentence; the others do (`A. Smith`), and have to begin their lines, or be three"""
SERIES = (ascii_uppercase, ascii_lowercase, [str(n) for n in range(1, 27)])
"""also more than there are letters for, so that no option is taken for the end of another"""
BULLET = re.compile(r"\n\s*[-*•]$")
"""of the next option"""
JUNK = (r"\qquad", r"\quad", r"\newline", r"\hfill", r"\\", r"\ ", r"\,", r"\;", r"\!", "~", "&", ",", ";", "**")


def lettered(
    text: str, series: Sequence[Sequence[str]] = SERIES, alone: bool = True
) -> tuple[list[str], list[str]] | None:
    """(labels, texts) of the options in a text, the longest run of labels; None where there are not two of them.
    `alone`: the text is nothing but options."""
    best: list[re.Match[str]] = []
    for name, mark in MARKS.items():
        found = list(re.finditer(mark, text))
        for labels in series:
            run = _run(text, found, labels)
            if len(run) > len(best) and (alone or name in SAFE or len(run) > 2 or _begin_lines(text, run)):
                best = run
    if len(best) < 2:
        return None
    return [match["label"] for match in best], _texts(text, best)


def choice_within(question: str, reference: str) -> tuple[str, list[str]] | None:
    """(letter, the options' texts) where a question holds its options and the reference is one of their letters, alone
    or with that option's text; None for any other question. Texts are empty where one cannot be told."""
    said = read_letter(reference)
    found = lettered(question, SERIES[:2], alone=False) if said else None
    if not said or not found:
        return None
    (place, rest), (labels, texts) = said, found
    parts = labels[0] == "a" and len(labels) < 3  # `(a)` and `(b)` of a question
    if parts or not place < len(labels) <= len(LETTERS):
        return None
    if {"and", "or", "+", "="} & {text.lower() for text in texts}:  # points (A) and (B) are spoken of, not chosen from
        return None
    if rest and any(same_text(text, rest) for i, text in enumerate(texts) if i != place):
        return None
    return LETTERS[place], texts if all(texts) else []


def _run(text: str, found: list[re.Match[str]], labels: Sequence[str]) -> list[re.Match[str]]:
    """The marks of the longest run of labels. Of several such runs the last, since a question may speak of its options
    before it lists them; but not where an option would be empty, since an option may speak of others."""
    first: list[re.Match[str]] = []
    for match in found:
        if len(first) < len(labels) and match["label"] == labels[len(first)]:
            first.append(match)
    last: list[re.Match[str]] = []
    for match in reversed(found):
        if len(last) < len(first) and match["label"] == labels[len(first) - len(last) - 1]:
            last.insert(0, match)
    return last if all(_texts(text, last)) else first


def _begin_lines(text: str, run: list[re.Match[str]]) -> bool:
    return all(not text[: match.start()].rpartition("\n")[2].strip() for match in run)


def _texts(text: str, run: list[re.Match[str]]) -> list[str]:
    ends = [match.start() for match in run[1:]]
    pieces = [text[match.end() : end] for match, end in zip(run, [*ends, len(text)])]
    if pieces and not any("\n" in piece.strip() for piece in pieces[:-1]):
        pieces[-1] = pieces[-1].strip().partition("\n")[0]  # what follows the last option is no option
    return [_plain(piece) for piece in pieces]


def _plain(piece: str) -> str:
    """Without what only sets options apart, and without half of a pair of math delimiters."""
    while (shorter := _trimmed(piece)) != piece:
        piece = shorter
    for opening, closing in (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)")):
        if piece.count(opening) - (opening == closing) < piece.count(closing) == 1:
            piece = piece.removesuffix(closing)
    if piece.count("$") % 2:
        piece = piece.removeprefix("$") if piece.startswith("$") else piece.removesuffix("$")
    return piece.strip()


def _trimmed(piece: str) -> str:
    piece = BULLET.sub("", piece.strip())
    for junk in JUNK:
        piece = piece.removesuffix(junk).removeprefix(junk)
    return piece
