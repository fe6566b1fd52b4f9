"""The tokens of a completion as one table: the ids, and a column for whatever somebody knows of each of them.

Whoever has traces in hand has this table: an engine that wrote them, a run's store, a student that reads a set of
others, a report. What nobody knows is None, and is never filled in with something that looks like a value.

Shapes: P tokens of the prompt, T of the completion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ownwords.rsd.columns import COLUMNS, FORCED

TYPES = {**COLUMNS, "student_entropy": np.dtype(np.float32), "step": np.dtype(np.int32)}
"""of every column but `soft`, whose type depends on k"""


@dataclass(kw_only=True, eq=False)
class Tokens:
    """T tokens behind a prompt; every column that is there has T entries, of the type that `TYPES` says.

    Raises ValueError for a column of another length.
    """

    prompt_ids: np.ndarray
    """int32 [P], what the student read before"""
    token_ids: np.ndarray
    """int32, the completion in student ids, forced tokens and the end-of-turn id included"""
    source: np.ndarray | None = None
    """uint8, who wrote it: `TEACHER`, `STUDENT` (fallback), `FORCED` or `UNKNOWN`"""
    teacher_logprob: np.ndarray | None = None
    """float32, nats, raw (temperature 1); NaN without a teacher"""
    student_logprob: np.ndarray | None = None
    """float32, nats, raw (temperature 1)"""
    student_rank: np.ndarray | None = None
    """int32, 1 = the student's favourite; ties share the better rank"""
    student_entropy: np.ndarray | None = None
    """float32, nats, of the student's raw distribution at that position"""
    pass_mass: np.ndarray | None = None
    """float32, how much of the teacher's proposal distribution the gate lets through; NaN without a teacher"""
    refused_id: np.ndarray | None = None
    """int32, the likeliest proposal that the gate refuses, -1 if it refuses none"""
    refused_prob: np.ndarray | None = None
    """float32, the probability that it is proposed and refused; 0 if there is none"""
    step: np.ndarray | None = None
    """int32, the number of the sentence that it belongs to"""
    soft: np.ndarray | None = None
    """soft targets, `ownwords.rsd.soft.soft_dtype` per token"""

    def __post_init__(self) -> None:
        self.prompt_ids = np.asarray(self.prompt_ids, np.int32)
        T = len(self.token_ids)
        for name, dtype in {**TYPES, "soft": None}.items():
            if getattr(self, name) is not None:
                column = np.asarray(getattr(self, name), dtype)
                if column.shape != (T,):
                    raise ValueError(f"{name} has the shape {column.shape}, expected ({T},): an entry for every token")
                setattr(self, name, column)

    def column(self, name: str) -> np.ndarray:
        """A column that the caller cannot do without. Raises ValueError if nobody knows it."""
        found: np.ndarray | None = getattr(self, name)
        if found is None:
            raise ValueError(f"these tokens have no {name}: expected traces of a run that recorded it")
        return found

    @property
    def ids(self) -> np.ndarray:
        """int32 [P + T]: prompt and completion."""
        return np.concatenate([self.prompt_ids, self.token_ids])

    @property
    def free(self) -> np.ndarray:
        """bool [T]: not forced, so that it counts and carries loss."""
        return np.ones(len(self.token_ids), bool) if self.source is None else self.source != FORCED

    @property
    def surprisal(self) -> np.ndarray:
        """float32 [T], nats, under the student. Raises ValueError if nobody has asked it."""
        return -self.column("student_logprob")

    def by(self, writer: int) -> np.ndarray:
        """bool [T]: known to be written by `TEACHER` or `STUDENT`, or to be `FORCED`."""
        return np.zeros(len(self.token_ids), bool) if self.source is None else self.source == writer
