"""What each token adds to the text, and where steps end in it.

A token's piece is what its decoding adds behind a letter; pieces laid end to end are the text, but for characters of
several bytes, whose parts are U+FFFD. That is good enough to find words, numbers, sentences and blank lines, and costs
one decoding per id, not per token. What people read is decoded as a whole elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

SENTENCE_END = re.compile(r"[.!?](?=\s)\s*|[\u3002\uff01\uff1f]\s*|\n+")
BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")


class Pieces:
    """The piece of each id, remembered."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._before = tokenizer("a", add_special_tokens=False)["input_ids"]
        self._known: dict[int, str] = {}

    def __call__(self, ids: Iterable[int]) -> list[str]:
        return [self._known.get(i) or self._known.setdefault(i, self._piece(i)) for i in map(int, ids)]

    def _piece(self, i: int) -> str:
        pair = (self._before, [*self._before, i])
        before, text = (str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)) for ids in pair)
        return text.removeprefix(before)


def starts(pieces: Sequence[str]) -> np.ndarray:
    """Where each piece begins in the joined text; one entry more than pieces, the text's length."""
    return np.concatenate([[0], np.cumsum([len(piece) for piece in pieces], dtype=np.int64)])


def steps(pieces: Sequence[str], end: re.Pattern[str]) -> np.ndarray:
    """The number of each token's step (0, 1, ...): a step goes up to and including a match of `end`, and a token
    belongs to the step in which it begins. Numbers may be missing where a step lies within one token."""
    ends = [match.end() for match in end.finditer("".join(pieces))]
    return np.searchsorted(ends, starts(pieces)[:-1], side="right")
