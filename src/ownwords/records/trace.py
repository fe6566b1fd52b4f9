"""One attempt at one problem: its tokens, what they say, and how it was judged.

Token ids are the truth; text is one decode of the whole span.
"""

from __future__ import annotations

from dataclasses import dataclass

from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import STUDENT

FINISH_REASONS = ("stop", "length", "repetition", "fallback")
VERDICTS = ("correct", "incorrect", "unparsable", "timeout", "unverifiable")


@dataclass(eq=False)
class Trace(Tokens):
    """The tokens of an attempt with its identity. One row of a run's store, if all columns of `COLUMNS` are there; a
    trace that somebody else wrote lacks those that its set does not tell."""

    problem_id: str
    attempt: int
    """0 .. n-1"""
    finish_reason: str = ""
    """one of `FINISH_REASONS`; empty if nobody knows"""
    thinking: str = ""
    """the text before the closing think tag"""
    answer_text: str = ""
    """the text after it"""
    answer: str = ""
    """what was extracted from `answer_text`; empty if nothing was"""
    found_by: str = ""
    """the rule of `ownwords.answers.extract` that found it: `boxed`, ...; empty if nothing was"""
    verdict: str = "unverifiable"
    """one of `VERDICTS`"""
    judged_by: str = "rules"
    """`rules`, or `endpoint` for the verdict of a language model"""
    privileged: str = ""
    """what the teacher was shown beside the question: `answer`, `solution`, or nothing"""
    seconds: float = 0.0
    """from admission to the last token; 0 if nobody knows"""

    @property
    def fallback_rate(self) -> float:
        """Share of the tokens that the student wrote, forced ones left out; 0 for an empty trace."""
        free = int(self.free.sum())
        return float(self.by(STUDENT).sum()) / free if free else 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.finish_reason in ("", *FINISH_REASONS), self.finish_reason
        assert self.verdict in VERDICTS, self.verdict
