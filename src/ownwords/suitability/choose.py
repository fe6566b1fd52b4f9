"""Which scored traces to train on: a pure rule on rows of scores, and the files that a trainer reads.

All rules are one walk through the eligible traces, from the best score to the worst (sources by turns where they are to
be balanced), which takes a trace if its problem, its source and the whole selection still have room. Every trace, taken
or not, is told why.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ownwords.io.files import plain_errors, replacing
from ownwords.io.paths import check_folder, held
from ownwords.numbers import CountOr0, CountOrNone, Seed, ShareAbove0, check
from ownwords.suitability.score import all_scores
from ownwords.suitability.stored import Scores
from ownwords.traces.export import SCHEMAS, table, to_learn

OTHER_BY = ("length", "random")
"""orders that are no scores"""
NAMES = ("sft.parquet", "sft.jsonl", "choices.parquet", "selection.json")
SFT_SCHEMA = pa.schema([*SCHEMAS["sft"], ("source", pa.string()), ("why", pa.string())])
CHOICE_SCHEMA = pa.schema(
    [("scores", pa.string()), ("trace", pa.int32()), ("problem_id", pa.string()), ("attempt", pa.int32())]
    + [("source", pa.string()), ("verdict", pa.string()), ("by", pa.string()), ("value", pa.float64())]
    + [("chosen", pa.bool_()), ("why", pa.string())]
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What makes a trace better than another, and how many are taken."""

    by: str = "rsr"
    """a score, `length` (the shortest) or `random`"""
    per_problem: CountOr0 = 1
    """at most so many per problem; 0 for no limit"""
    share: ShareAbove0 = 1.0
    """of those that the limits per problem and source leave, take the best share"""
    count: CountOrNone = None
    """take the best so many"""
    correct: bool = False
    """only traces whose verdict is `correct`"""
    balance: bool = False
    """no source gives more than its equal part of the selection"""
    seed: Seed = 0
    """of `random`"""

    def __post_init__(self) -> None:
        known = (*all_scores(), *OTHER_BY)
        if self.by not in known:
            close = difflib.get_close_matches(self.by, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
            raise ValueError(f"there is no score {self.by!r}: {hint}")
        check(self)

    def value(self, row: dict[str, Any]) -> float | None:
        """What a row is judged by, as the score stands; None where it has none."""
        if self.by != "random":
            value: float | None = row.get(self.by)  # a directory may be older than the score
            return value
        key = f"{self.seed}:{row['problem_id']}:{row['attempt']}:{row['source']}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56


@dataclass(frozen=True)
class Choice:
    """What became of a row."""

    chosen: bool
    why: str
    value: float | None


def choose(rows: Sequence[dict[str, Any]], rule: Rule) -> list[Choice]:
    """One choice per row of scores.parquet, in their order. Equal scores: the first row wins."""
    values = [rule.value(row) for row in rows]
    found: list[Choice | None] = [
        Choice(False, why, value) if (why := _not_eligible(row, value, rule)) else None
        for row, value in zip(rows, values, strict=True)
    ]
    score = all_scores().get(rule.by)
    sign = -1 if score and score.better == "higher" else 1
    best_first = sorted((i for i, one in enumerate(found) if one is None), key=lambda i: sign * values[i])  # type: ignore[operator]
    order = _by_turns(rows, best_first) if rule.balance else best_first
    taken = sum(not why for why in _walk(rows, order, rule, None, None).values())
    total = min(math.ceil(rule.share * taken), rule.count or taken)
    sources = {rows[i]["source"] for i in order}
    quota = math.ceil(total / len(sources)) if rule.balance and sources else None
    reasons = _walk(rows, order, rule, total, quota)
    rivals, place = Counter(rows[i]["problem_id"] for i in order), Counter[str]()
    for i in best_first:
        problem = rows[i]["problem_id"]
        place[problem] += 1
        why = reasons[i] or f"number {place[problem]} of {rivals[problem]} at its problem"
        found[i] = Choice(not reasons[i], f"{rule.by} {values[i]:.4g}: {why}", values[i])
    return found  # type: ignore[return-value]


def _by_turns(rows: Sequence[dict[str, Any]], best_first: list[int]) -> list[int]:
    """The best of every source, then the second best of every source, ..."""
    turn, seen = {}, Counter[str]()
    for i in best_first:
        turn[i] = seen[rows[i]["source"]]
        seen[rows[i]["source"]] += 1
    return sorted(best_first, key=lambda i: turn[i])


def _not_eligible(row: dict[str, Any], value: float | None, rule: Rule) -> str:
    if row["skipped"]:
        return f"not scored: {row['skipped']}"
    if rule.correct and row["verdict"] != "correct":
        return f"verdict is {row['verdict']}"
    return f"has no {rule.by}" if value is None else ""


def _walk(
    rows: Sequence[dict[str, Any]], order: Iterable[int], rule: Rule, total: int | None, quota: int | None
) -> dict[int, str]:
    """Row -> why it is not taken; empty where it is."""
    of_problem, of_source, taken = Counter[str](), Counter[str](), 0
    reasons = {}
    for i in order:
        problem, source = rows[i]["problem_id"], rows[i]["source"]
        if rule.per_problem and of_problem[problem] == rule.per_problem:
            reasons[i] = f"its problem has its {rule.per_problem}"
        elif quota is not None and of_source[source] == quota:
            reasons[i] = f"{source} has its {quota}"
        elif total is not None and taken == total:
            reasons[i] = f"the selection has its {total}"
        else:
            reasons[i] = ""
            of_problem[problem] += 1
            of_source[source] += 1
            taken += 1
    return reasons


def select(scored: Sequence[Scores], rule: Rule, out: Path, overwrite: bool = False) -> dict[str, Any]:
    """Choose among the traces of one or several scores directories of one student, and write what was chosen:
    `sft.parquet` and `.jsonl` (`input_ids`, `labels`, as `ownwords export` has them, with source and reason),
    `choices.parquet` (every trace, taken or not, and why) and `selection.json`. Returns the content of the last.

    Raises ValueError if the directories are of different students, if nothing is chosen or if a file exists.
    """
    if len({one.config["student_weights"] for one in scored}) > 1:
        seen = ", ".join(f"{one.path} ({one.config['student']})" for one in scored)
        raise ValueError(f"{seen} hold scores of different students, which do not compare: score all with one")
    check_folder(out)
    if (taken := held(out, NAMES)) and not overwrite:
        raise ValueError(f"{out} holds {', '.join(taken)} already: name another --out, or set --overwrite")
    rows = [{"scores": str(one.path), **row} for one in scored for row in one.traces()]
    choices = choose(rows, rule)
    if not any(choice.chosen for choice in choices):
        reason, number = Counter(choice.why for choice in choices).most_common(1)[0]
        raise ValueError(f"none of {len(rows)} traces is eligible ({number}: {reason}): ask for less")
    summary = {"rule": asdict(rule), "traces": len(rows), "chosen": sum(choice.chosen for choice in choices)}
    summary["by_source"] = dict(sorted(Counter(r["source"] for r, c in zip(rows, choices) if c.chosen).items()))
    with plain_errors(out), replacing([out / name for name in NAMES]) as [parquet, jsonl, chosen, told]:
        table_rows = [{**row, **asdict(choice), "by": rule.by} for row, choice in zip(rows, choices, strict=True)]
        pq.write_table(pa.Table.from_pylist(table_rows, schema=CHOICE_SCHEMA), chosen)
        with table(SFT_SCHEMA, parquet, jsonl) as write:
            traces = (tokens for one in scored for tokens in one.tokens())
            for row, choice, tokens in zip(rows, choices, traces, strict=True):
                if choice.chosen:
                    told_of = {name: row[name] for name in ("problem_id", "attempt", "source")} | {"why": choice.why}
                    write(told_of | to_learn(tokens))
        told.write((json.dumps(summary, indent=2) + "\n").encode())
    return summary
