"""A trace as training sees it: token ids, labels, and what is known of every token.

Every step between a finished trace and the optimiser is a function from rows to rows; none tokenises again, and none
changes a label to anything but "no loss".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ownwords.traces.export import IGNORED


@dataclass(frozen=True)
class Row:
    """One sequence of T token ids, as the optimiser sees it.

    It is no `Tokens`: prompt and completion are one here and both may be cut or replaced, the figures bear whatever
    names a user's file gives them, and some tokens of a column may be unknown while others are not.
    """

    problem_id: str
    attempt: int
    input_ids: np.ndarray
    """int32 [T], prompt and completion"""
    labels: np.ndarray
    """int32 [T]: the token's own id where it carries loss (the model shifts), `IGNORED` where not"""
    start: int
    """where the completion begins"""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """per-token figures, float32 [T] each, NaN where nothing is known (on the prompt)"""
    weights: np.ndarray | None = None
    """float32 [T]: what the loss of each token is multiplied by; None: 1"""
    ask: Callable[[str], list[int]] | None = None
    """the ids of a prompt made of a template, in which {question} stands for the problem; None if the source does not
    know its text"""
    prefixed: bool = False
    """cut to how it begins"""
    masked: dict[str, int] = field(default_factory=dict)
    """reason -> tokens that lost their loss for it"""

    @property
    def learned(self) -> np.ndarray:
        """bool [T]: the tokens with loss."""
        return self.labels != IGNORED

    @property
    def loss_tokens(self) -> int:
        return int(np.count_nonzero(self.learned))

    def without(self, mask: np.ndarray, reason: str) -> Row:
        """The same with no loss on the tokens of `mask` (bool [T]); those that had none are not counted again."""
        hit = mask & self.learned
        labels = np.where(hit, np.int32(IGNORED), self.labels)
        return replace(self, labels=labels, masked={**self.masked, reason: int(np.count_nonzero(hit))})


def order(rows: Iterable[Row], seed: int) -> list[Row]:
    """Rows in an order drawn from (seed, problem id), attempts in sequence.

    Problems keep their places whatever else is in the set, so the first N problems of two sets are the same ones, and
    those of N nest in those of 2 N: budgets can be matched by cutting.
    """

    def place(row: Row) -> tuple[str, str, int]:
        return hashlib.sha256(f"{seed}:{row.problem_id}".encode()).hexdigest(), row.problem_id, row.attempt

    return sorted(rows, key=place)


def check_ids(rows: Sequence[Row], vocabulary: Iterable[int], origin: str) -> None:
    """Raise ValueError unless every id is the student's and every label is the id at its own place."""
    known = np.fromiter(vocabulary, np.int64)
    for row in rows:
        where = f"{origin}, problem {row.problem_id}, attempt {row.attempt}"
        unknown = ~np.isin(row.input_ids, known)
        if unknown.any():
            at = int(np.argmax(unknown))
            raise ValueError(
                f"{where}: id {row.input_ids[at]} at position {at} is not in the student's vocabulary (its ids go up "
                f"to {known.max()}): expected traces in its own ids; name the --student that they were made for"
            )
        wrong = row.learned & (row.labels != row.input_ids)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"{where}: label {row.labels[at]} at position {at}, where the id is {row.input_ids[at]}: expected "
                f"labels that equal input_ids or are {IGNORED}; they are not to be shifted, the model does that"
            )


def digest(rows: Iterable[Row]) -> str:
    """16 hexadecimal digits of the SHA-256 of all that the optimiser sees: ids, labels and weights, in their order."""
    total = hashlib.sha256()
    for row in rows:
        for array in (row.input_ids, row.labels, row.weights):
            total.update(b"-" if array is None else len(array).to_bytes(8, "little") + array.tobytes())
    return total.hexdigest()[:16]
