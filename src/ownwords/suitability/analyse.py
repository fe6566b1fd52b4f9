"""What a student finds odd in traces, or refused while they were made: by kind, place, step and agreement.

Works on the columns that a run directory or a scores directory has already; no model is loaded. Forced tokens are left
out. In the tables `below` is the share of tokens that the student finds less likely than the threshold, `mean_rank` is
clipped as in the Rank-Surprisal Ratio, and `by_student` (runs only) is the share that the student wrote itself. The
columns between are the scores that are means over tokens, those of other packages too.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import STUDENT
from ownwords.suitability.kinds import KINDS, STEP_CLASSES, step_class, token_kinds
from ownwords.suitability.pieces import BLANK_LINE, steps
from ownwords.suitability.refusals import Pieces, Refusals
from ownwords.suitability.score import Counted, all_scores

SURE = 0.5
"""a model is sure of a token from this probability on"""
PLACES = [f"{10 * i}-{10 * i + 10} %" for i in range(10)]
AGREEMENT = ["both sure", "teacher sure, student not", "student sure, teacher not", "neither sure"]
FIRST = "(first of a step)"

Rows = list[dict[str, Any]]


def analyse(
    traces: Iterable[Tokens], pieces: Pieces, special_ids: Iterable[int], threshold: float = 0.01, pairs: int = 15
) -> dict[str, Rows]:
    """Title -> rows of a table. `pieces`: what each id adds to the text; `special_ids`: ids that are no text; `pairs`:
    how many of the most frequent refusals to list.

    Raises ValueError for a threshold that is no probability, and where there are no traces.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold:g}, expected a probability between 0 and 1, as 0.01")
    special = np.array(sorted(special_ids))
    kinds, firsts, places, classes, agreement = (_Sums() for _ in range(5))
    step_counts: Counter[str] = Counter()
    refusals: Refusals | None = None
    for tokens in traces:
        free = tokens.free
        if tokens.student_logprob is None or not free.any():  # the student has not read it
            continue
        text = pieces(tokens.token_ids)
        kind_T = token_kinds(text, np.isin(tokens.token_ids, special))
        step_T = steps(text, BLANK_LINE)
        class_T, of_steps = _step_classes(text, step_T)
        step_counts.update(of_steps)
        columns = _columns(tokens, threshold, step_T)[:, free]
        kinds.add(KINDS, kind_T[free], columns)
        first = np.diff(step_T[free], prepend=-1) > 0
        firsts.add([FIRST], np.zeros(first.sum(), int), columns[:, first])
        places.add(PLACES, np.arange(free.sum()) * len(PLACES) // free.sum(), columns)
        classes.add(STEP_CLASSES, class_T[free], columns)
        if tokens.teacher_logprob is not None:  # of a run, which knows who wrote it
            refusals = refusals or Refusals()
            refusals.add(tokens, text, kind_T, pieces, special)
            teacher, student = (np.exp(x[free]) >= SURE for x in (tokens.teacher_logprob, tokens.student_logprob))
            agreement.add(AGREEMENT, np.where(teacher, np.where(student, 0, 1), np.where(student, 2, 3)), columns)
    if not kinds.of:
        raise ValueError("there are no traces to look at: expected a run or scores directory that holds some")
    run, total = refusals is not None, kinds.tokens
    by_class = [{**row, "steps": step_counts[row[""]]} for row in classes.rows(STEP_CLASSES, total, run)]
    tables = {
        "tokens by kind": kinds.rows(KINDS, total, run) + firsts.rows([FIRST], total, run),
        "tokens by place in the trace": places.rows(PLACES, total, run),
        "tokens by what their step does": by_class,
    }
    if run:
        tables["tokens by agreement of the models"] = agreement.rows(AGREEMENT, total, run)
    if refusals is not None and refusals.refused:
        tables["refused, by kind of what the teacher wanted"] = refusals.by_kind()
        tables["refused and written instead, by kind"] = refusals.instead()
        tables["refused and written instead, by token"] = refusals.pairs(pairs)
    return tables


class _Sums:
    """Sums of the columns below over tokens, by label."""

    def __init__(self) -> None:
        self.of: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(()))

    def add(self, labels: Sequence[str], label_T: np.ndarray, columns_KT: np.ndarray) -> None:
        for index in np.unique(label_T):
            label = labels[index]
            self.of[label] = self.of[label] + columns_KT[:, label_T == index].sum(axis=1)

    @property
    def tokens(self) -> float:
        return float(sum(sums[0] for sums in self.of.values()))

    def rows(self, order: Sequence[str], total: float, run: bool) -> Rows:
        found = []
        for label in order:
            if label in self.of:
                tokens, *sums = self.of[label].tolist()
                below, *scores, student = (value / tokens for value in sums)
                row = {"": label, "tokens": int(tokens), "share": tokens / total, "below": below}
                row |= dict(zip(token_scores(), scores, strict=True))
                found.append(row | {"by_student": student} if run else row)
        return found


def token_scores() -> list[str]:
    """The scores that are means over tokens."""
    return [name for name, score in all_scores().items() if score.of_token]


def _columns(tokens: Tokens, threshold: float, step_T: np.ndarray) -> np.ndarray:
    """(K, T): one, below the threshold, what each of `token_scores` is a mean of, written by the student."""
    one, entropy_T = np.ones(len(tokens.token_ids)), tokens.student_entropy
    unknown = np.full(len(one), np.nan)
    counted = Counted(
        tokens.surprisal, tokens.column("student_rank"), unknown if entropy_T is None else entropy_T, step_T
    )
    scores = [score.of_token(counted) for score in all_scores().values() if score.of_token]
    return np.stack([one, tokens.surprisal > -math.log(threshold), *scores, tokens.by(STUDENT)])


def _step_classes(text: list[str], step_T: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(the class of each token's step, an index into `STEP_CLASSES`; the class of each step)."""
    _, start, step_T = np.unique(step_T, return_index=True, return_inverse=True)
    bounds = [*start.tolist(), len(text)]
    found = [step_class("".join(text[a:b])) for a, b in zip(bounds, bounds[1:])]
    return np.array([STEP_CLASSES.index(name) for name in found])[step_T], found
