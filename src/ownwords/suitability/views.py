"""The traces of a run directory or of a scores directory, as the analysis sees them: the columns that both have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.suitability.stored import Scores
from ownwords.traces.store import Store


@dataclass(frozen=True)
class Written:
    """What only a run knows of its T response tokens."""

    by_student: np.ndarray
    """bool"""
    teacher_logprob: np.ndarray
    refused_id: np.ndarray
    """the likeliest proposal that the gate refuses, -1 for none"""
    refused_prob: np.ndarray


@dataclass(frozen=True)
class View:
    """One trace of T response tokens."""

    token_ids: np.ndarray
    free: np.ndarray
    """bool: not forced"""
    surprisal: np.ndarray
    """nats, under the student"""
    rank: np.ndarray
    entropy: np.ndarray | None = None
    """nats, of the student's distribution; a run does not keep it"""
    written: Written | None = None


def run_views(store: Store) -> Iterator[View]:
    """Every trace of a run, from its stored columns."""
    for trace in store.traces():
        written = Written(trace.source == STUDENT, trace.teacher_logprob, trace.refused_id, trace.refused_prob)
        yield View(trace.token_ids, trace.source != FORCED, -trace.student_logprob, trace.student_rank, written=written)


def score_views(scores: Scores) -> Iterator[View]:
    """Every trace that has scores."""
    for row in scores.tokens(["token_ids", "scored", "surprisal", "rank", "entropy"]):
        if len(row["surprisal"]):
            yield View(row["token_ids"], row["scored"].astype(bool), row["surprisal"], row["rank"], row["entropy"])
