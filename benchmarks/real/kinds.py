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
from ownwords.records.tokens import Tokens
from ownwords.suitability.kinds import CONNECTIVE, KINDS, REFLECTION, token_kinds
from ownwords.suitability.pieces import Pieces
from ownwords.suitability.refusals import Refusals
from ownwords.suitability.stored import Scores
from ownwords.traces.store import Store, is_run
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
        for trace in store.traces():  # one attempt at each problem
            seen, text = Refusals(), pieces(trace.token_ids)
            seen.add(trace, text, token_kinds(text, np.isin(trace.token_ids, special)), pieces, special)
            odd.append([seen.refused[kind] for kind in range(len(KINDS))])
            every.append([seen.refused[kind] + seen.accepted[kind] for kind in range(len(KINDS))])
            pairs.update(seen.tokens)
    frequent = [(one, other, times) for (one, other), times in pairs.most_common(12)]
    return _table(np.array(odd, float), np.array(every, float)), frequent


def implausible(traces: Path) -> list[Kind]:
    """The kinds of the tokens below 1 % in a run or a scores directory."""
    odd: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(KINDS)))
    every: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(KINDS)))
    student, found = _tokens(traces)
    tokenizer = load_tokenizer(student, "student")
    pieces, special = Pieces(tokenizer), np.array(sorted(tokenizer.added_tokens_decoder))
    for problem, tokens in found:
        kind_T = token_kinds(pieces(tokens.token_ids), np.isin(tokens.token_ids, special))
        below_T = tokens.free & (tokens.surprisal > -math.log(IMPLAUSIBLE))
        odd[problem] += np.bincount(kind_T[below_T], minlength=len(KINDS))
        every[problem] += np.bincount(kind_T[tokens.free], minlength=len(KINDS))
    return _table(np.array([*odd.values()]), np.array([*every.values()]))


def _tokens(traces: Path) -> tuple[str, Iterator[tuple[str, Tokens]]]:
    """(the student, each problem's id with a trace that the student has read)"""
    if is_run(traces):
        with Store.read(traces) as store:
            return store.config["student"], iter([(trace.problem_id, trace) for trace in store.traces()])
    scores = Scores.read(traces)
    rows = zip(scores.traces(), scores.tokens(), strict=True)
    return scores.config["student"], ((row["problem_id"], tokens) for row, tokens in rows if not row["skipped"])


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
