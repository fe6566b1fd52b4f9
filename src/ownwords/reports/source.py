"""One trace set of a report, and its tokens as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from ownwords.records.problem import Problem
from ownwords.records.trace import Trace


@dataclass(frozen=True)
class Source:
    """One trace set."""

    name: str
    gate: str
    """empty where nobody knows who wrote a token: a trace set that was scored, not generated"""
    config: dict[str, Any]
    versions: dict[str, Any]
    problems: dict[str, Problem]
    traces: Callable[[str | None], Iterator[Trace]]
    """all traces, or those of one problem, in the order of (problem id, attempt)"""
    decode: Callable[[Sequence[int]], str]
    """token ids to text, special tokens kept"""
    figures: dict[str, str] = field(default_factory=dict)
    """what the set says of itself beyond what its traces do: label -> text"""
    scores: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)
    """(problem id, attempt) -> label -> score"""

    @property
    def mixes(self) -> bool:
        """Whether teacher and student write together."""
        return self.gate not in ("", "always", "never")


def decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], str]:
    """Decoding that remembers: a set has few distinct spans, and a tokenizer takes long over each."""

    @cache
    def decode(ids: tuple[int, ...]) -> str:
        return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    return lambda ids: decode(tuple(ids))
