"""What kind of thing a token is, and what a step does: rules on text, to see what a student finds odd.

A token has the kind of its first letter that is not white space, in the text around it: the pieces of a long word are
all that word's kind. The word lists are ours, and short; the three classes of steps are SEAL's (arXiv 2504.07986).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ownwords.suitability.pieces import starts

KINDS = ("white space", "word", "punctuation", "formula", "number", "connective", "reflection", "code", "special")
"""in the order in which a later one wins, where several fit"""
SPACE, WORD, PUNCTUATION, FORMULA, NUMBER, CONNECTIVE, REFLECTION, CODE, SPECIAL = range(len(KINDS))

STEP_CLASSES = ("execution", "reflection", "transition")

_WORDS = {
    CONNECTIVE: "so then therefore thus hence because since first second next now after also and but however finally "
    "okay ok alright well if moreover together instead overall consequently",
    REFLECTION: "wait hmm actually alternatively maybe perhaps check checking recheck verify confirm mistake oops "
    "again",
}
_RULES = (
    (WORD, re.compile(r"[^\W\d_]+")),
    (
        FORMULA,
        re.compile(r"[=+*/^_<>\\{}|\u00d7\u00f7\u00b1\u2212\u2248\u2260\u2264\u2265]|(?<![^\W\d_])-|-(?![^\W\d_])"),
    ),
    (CONNECTIVE, re.compile(rf"\b(?:{'|'.join(_WORDS[CONNECTIVE].split())})\b", re.IGNORECASE)),
    (
        REFLECTION,
        re.compile(rf"\b(?:{'|'.join(_WORDS[REFLECTION].split())}|hold on|make sure|double[- ]check)\b", re.IGNORECASE),
    ),
    (FORMULA, re.compile(r"\$\$[^$]+\$\$|\$[^$\n]+\$|\\\(.+?\\\)|\\\[.+?\\\]|\\[A-Za-z]+", re.DOTALL)),
    (NUMBER, re.compile(r"\d+(?:[.,]\d+)*")),
    (CODE, re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)),
    (SPACE, re.compile(r"\s+")),
)
"""applied in turn, each over what those before have said"""

_REFLECTS = re.compile(
    r"\Await\b|verify|make sure|hold on|think again|'s correct|'s incorrect|let me check|seems right"
)
_TURNS = re.compile(r"\Aalternatively\b|think differently|another (?:way|approach|method|solution|strategy|technique)")


def token_kinds(pieces: Sequence[str], special_T: np.ndarray) -> np.ndarray:
    """The kind (index into `KINDS`) of each of T tokens; `special_T` (bool) marks those that are no text."""
    text = "".join(pieces)
    letters = np.full(len(text) + 1, PUNCTUATION, np.uint8)
    letters[-1] = SPACE
    for kind, rule in _RULES:
        for match in rule.finditer(text):
            letters[match.start() : match.end()] = kind
    at = starts(pieces)
    skipped = np.array([len(piece) - len(piece.lstrip()) for piece in pieces], np.int64)
    blank = np.array([not piece.strip() for piece in pieces], bool)
    kinds_T = np.where(blank, SPACE, letters[np.minimum(at[:-1] + skipped, len(text))])
    return np.where(special_T, SPECIAL, kinds_T)


def kind_behind(before: str, piece: str) -> int:
    """The kind of a token that would stand behind `before`."""
    return int(token_kinds([before, piece], np.zeros(2, bool))[1])


def step_class(text: str) -> str:
    """Execution, reflection or transition; reflection is asked first."""
    text = text.strip().lower()
    return "reflection" if _REFLECTS.search(text) else "transition" if _TURNS.search(text) else "execution"
