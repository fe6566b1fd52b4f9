"""Which kinds of tokens a student refuses, or finds below 1 %: are they connectives and reflection, as the paper says?

Two looks at the same question, each a table of kinds: of what the teacher proposed in an RSD run, the share that was
refused, and of tokens that stand in finished traces, the share that the student finds below 1 %.
Shapes: P problems, K kinds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ownwords.evaluation.intervals import Interval
from ownwords.models.load import load_tokenizer
from ownwords.suitability.kinds import CONNECTIVE, KINDS, REFLECTION, token_kinds
from ownwords.suitability.pieces import Pieces
from ownwords.suitability.refusals import Refusals
from ownwords.suitability.stored import Scores
from ownwords.suitability.views import View, run_views
from ownwords.traces.store import Store
from ownwords.traces.summary import IMPLAUSIBLE
from real.measures import intervals

CLAIMED = "connective or reflection"
"""what the paper says that most of them are (arXiv 2509.22230)"""


@dataclass(frozen=True)
class Kind:
    """A line of the table."""

    name: str
    number: int
    share: Interval
    """of all that were refused, or below 1 %"""
    of_all: float
    """share of all proposals or tokens, refused or not, that are of this kind"""
    rate: Interval
    """of this kind's tokens, those that were refused or below 1 %"""


def refused(run: Path) -> tuple[list[Kind], list[tuple[str, str, int]]]:
    """The kinds of what the teacher wanted to say and was refused, and the most frequent (refused, written, times)."""
    odd, every, pairs = [], [], Counter[tuple[str, str]]()
    with Store.read(run) as store:
        tokenizer = load_tokenizer(store.config["student"], "student")
        pieces, special = Pieces(tokenizer), np.array(sorted(tokenizer.added_tokens_decoder))
        for view in run_views(store):  # one attempt at each problem
            seen, text = Refusals(), pieces(view.token_ids)
            seen.add(view, text, token_kinds(text, np.isin(view.token_ids, special)), pieces, special)
            odd.append([seen.refused[kind] for kind in range(len(KINDS))])
            every.append([seen.refused[kind] + seen.accepted[kind] for kind in range(len(KINDS))])
            pairs.update(seen.tokens)
    frequent = [(one, other, times) for (one, other), times in pairs.most_common(12)]
    return _table(np.array(odd, float), np.array(every, float)), frequent


def implausible(traces: Path) -> list[Kind]:
    """The kinds of the tokens below 1 % in a run or a scores directory."""
    odd: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(KINDS)))
    every: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(KINDS)))
    student, views = _views(traces)
    tokenizer = load_tokenizer(student, "student")
    pieces, special = Pieces(tokenizer), np.array(sorted(tokenizer.added_tokens_decoder))
    for problem, view in views:
        kind_T = token_kinds(pieces(view.token_ids), np.isin(view.token_ids, special))
        below_T = view.free & (view.surprisal > -math.log(IMPLAUSIBLE))
        odd[problem] += np.bincount(kind_T[below_T], minlength=len(KINDS))
        every[problem] += np.bincount(kind_T[view.free], minlength=len(KINDS))
    return _table(np.array([*odd.values()]), np.array([*every.values()]))


def _views(traces: Path) -> tuple[str, Iterator[tuple[str, View]]]:
    """(the student, each trace with its problem's id)"""
    if (traces / "traces.sqlite").is_file():
        with Store.read(traces) as store:
            found = [(trace.problem_id, view) for trace, view in zip(store.traces(), run_views(store), strict=True)]
            return store.config["student"], iter(found)
    scores = Scores.read(traces)
    rows = scores.tokens(["problem_id", "token_ids", "scored", "surprisal", "rank"])
    return scores.config["student"], (
        (row["problem_id"], View(row["token_ids"], row["scored"].astype(bool), row["surprisal"], row["rank"]))
        for row in rows
        if len(row["surprisal"])
    )


def _table(odd_PK: np.ndarray, every_PK: np.ndarray) -> list[Kind]:
    claimed = [CONNECTIVE, REFLECTION]
    odd_PK, every_PK = (np.column_stack([x, x[:, claimed].sum(1)]) for x in (odd_PK, every_PK))
    found = []
    total_P = odd_PK[:, :-1].sum(1)
    everything = every_PK[:, :-1].sum()
    for kind in _by_number(odd_PK):
        tops = np.column_stack([odd_PK[:, kind]] * 2)
        share, rate = intervals(tops, np.column_stack([total_P, every_PK[:, kind]]), (False, False))
        name = CLAIMED if kind == len(KINDS) else KINDS[kind]
        found.append(Kind(name, int(odd_PK[:, kind].sum()), share, every_PK[:, kind].sum() / everything, rate))
    return found


def _by_number(odd_PK: np.ndarray) -> Iterable[int]:
    """Kinds that occur, the most frequent first, the claimed two together at the end."""
    return [k for k in np.argsort(-odd_PK[:, :-1].sum(0), kind="stable") if odd_PK[:, k].sum()] + [len(KINDS)]
