"""Which tokens carry no loss, and how much the others weigh: one pure function each, row in, row out.

* `below`: none on tokens that the student finds implausible. Against tailored traces this is the control that
  "skips" foreign tokens instead of replacing them (arXiv 2509.22230).
* `by_source`: none on what the teacher wrote, or none on what the student wrote.
* `anchors`: none on imitation anchors (T3S, arXiv 2601.10348): the tokens whose confidence an early checkpoint of a
  first training has already raised (connectives, punctuation), so that the others are learned. Taken here as: the
  probability of the token, given its prefix, rose by more than `rise` from the untrained student to that checkpoint.
* `weighted`: the loss of each token times a column; tokens of weight 0 carry none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.training.rows import Row

SOURCES = {"teacher": TEACHER, "student": STUDENT}


def below(row: Row, probability: float) -> Row:
    """No loss on tokens whose student probability (column `student_logprob`, nats) is below `probability`."""
    return row.without(row.columns["student_logprob"] < np.log(probability), f"student probability < {probability:g}")


def by_source(row: Row, source: str) -> Row:
    """No loss on tokens that `source`, one of `SOURCES`, wrote."""
    return row.without(row.columns["source"] == SOURCES[source], f"by the {source}")


def anchors(row: Row, rise: float) -> Row:
    """No loss on tokens whose probability rose by more than `rise`, from column `before_logprob` to column
    `early_logprob`, nats (`ownwords.training.confidence` computes these)."""
    gain = np.exp(row.columns["early_logprob"]) - np.exp(row.columns["before_logprob"])
    return row.without(gain > rise, "imitation anchors")


def weighted(row: Row, column: str) -> Row:
    """Weights from a column; a token of which it knows nothing (NaN) weighs 1. Raises ValueError where a token with
    loss has a negative or an infinite weight."""
    weights = np.where(np.isnan(row.columns[column]), np.float32(1), row.columns[column])
    wrong = row.learned & ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"problem {row.problem_id}, attempt {row.attempt}: weight {weights[at]:g} at position {at} from column "
            f"{column}, expected 0 or more; name another --weights"
        )
    row = row.without(weights == 0, f"weight 0 by {column}")
    return replace(row, weights=np.where(row.learned, weights, np.float32(0)))
