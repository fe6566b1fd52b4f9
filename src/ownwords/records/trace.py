"""One attempt at one problem, with what each model thought of every token.

Token ids are the truth; text is one decode of the whole span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT

FINISH_REASONS = ("stop", "length", "repetition", "fallback")
VERDICTS = ("correct", "incorrect", "unparsable", "timeout", "unverifiable")


@dataclass
class Trace:
    """The record of design: one row of the store."""

    problem_id: str
    attempt: int
    """0 .. n-1"""
    prompt_ids: np.ndarray
    """int32, the student's prompt"""
    token_ids: np.ndarray
    """int32, the completion in student ids, forced tokens and the end-of-turn id included"""
    source: np.ndarray
    """uint8: 0 teacher, 1 student (fallback), 2 forced"""
    teacher_logprob: np.ndarray
    """float32, nats, raw (temperature 1)"""
    student_logprob: np.ndarray
    """float32, nats, raw (temperature 1)"""
    student_rank: np.ndarray
    """int32, 1 = the student's favourite; ties share the better rank"""
    pass_mass: np.ndarray
    """float32, how much of the teacher's proposal distribution the gate lets through"""
    refused_id: np.ndarray
    """int32, the likeliest proposal that the gate refuses, -1 where it refuses none"""
    refused_prob: np.ndarray
    """float32, the probability that it is proposed and refused; 0 where none"""
    finish_reason: str
    """one of `FINISH_REASONS`"""
    thinking: str = ""
    """the text before the closing think tag"""
    answer_text: str = ""
    """the text after it"""
    answer: str = ""
    """what was extracted from `answer_text`; empty where nothing was"""
    found_by: str = ""
    """the rule of `ownwords.answers.extract` that found it: `boxed`, ...; empty where nothing was"""
    verdict: str = "unverifiable"
    """one of `VERDICTS`"""
    judged_by: str = "rules"
    """`rules`, or `endpoint` for the verdict of a language model"""
    privileged: str = ""
    """what the teacher was shown beside the question: `answer`, `solution`, or nothing"""
    seconds: float = 0.0
    """from admission to the last token"""
    soft: np.ndarray | None = None
    """soft targets, `ownwords.rsd.soft.soft_dtype` per token; None where they were not kept, or not asked for"""

    @property
    def fallback_rate(self) -> float:
        """Share of the tokens that the student wrote, forced ones left out; 0 for an empty trace."""
        free = int((self.source != FORCED).sum())
        return float((self.source == STUDENT).sum()) / free if free else 0.0

    @property
    def text(self) -> str:
        return self.thinking + self.answer_text

    def __post_init__(self) -> None:
        for name, dtype in COLUMNS.items():
            column = np.asarray(getattr(self, name), dtype=dtype)
            assert column.shape == (len(self.token_ids),), f"{name}: {column.shape}, tokens: {len(self.token_ids)}"
            setattr(self, name, column)
        self.prompt_ids = np.asarray(self.prompt_ids, dtype=np.int32)
        assert self.soft is None or self.soft.shape == (len(self.token_ids),), self.soft.shape
        assert self.finish_reason in FINISH_REASONS, self.finish_reason
        assert self.verdict in VERDICTS, self.verdict
