"""A scores directory as a trace set: what a student thinks of each token, and nothing of who wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ownwords.models.load import load_tokenizer
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.reports.source import Source, decoder
from ownwords.suitability.score import all_scores
from ownwords.suitability.stored import Scores, token_columns

GROUPS = 32
"""row groups that are held while problems are picked out of them"""


def scored_source(path: Path, name: str) -> Source:
    """Raises ValueError if `path` is no finished scores directory, or one without a scored trace."""
    scores = Scores.read(path)
    rows = {row["trace"]: row for row in scores.traces() if not row["skipped"]}
    if not rows:
        raise ValueError(f"{path} holds no scored trace: see its scores.parquet, column skipped, for the reasons")
    table = _Table(path / "tokens.parquet", rows)
    decode = decoder(load_tokenizer(scores.config["student"], "student"))
    shown = [score for score in all_scores().values() if score.report]
    whole = scores.summary["all"]
    figures = {score.label: score.form.format(whole[score.name]) for score in shown if score.name in whole}
    skipped = sum(scores.summary["skipped"].values())
    return Source(
        name=name,
        gate="",
        config=scores.config,
        versions=json.loads((path / "versions.json").read_text()),
        problems=table.problems(decode),
        traces=table.traces,
        decode=decode,
        figures={**figures, "traces skipped": f"{skipped}"},
        scores={
            (row["problem_id"], row["attempt"]): {
                score.label: row[score.name] for score in shown if row.get(score.name) is not None
            }
            for row in rows.values()
        },
    )


class _Table:
    """tokens.parquet by problem."""

    def __init__(self, path: Path, rows: dict[int, dict[str, Any]]) -> None:
        self.file, self.rows = pq.ParquetFile(path.absolute()), rows
        self.places: dict[str, list[tuple[int, int]]] = {}
        """problem id -> (row group, row in it) of its traces"""
        for group in range(self.file.num_row_groups):
            keys = self.file.read_row_group(group, ["trace", "problem_id", "attempt"]).to_pylist()
            for row, key in enumerate(keys):
                if key["trace"] in rows:
                    self.places.setdefault(key["problem_id"], []).append((group, row))
        self.group = lru_cache(maxsize=GROUPS)(self.file.read_row_group)

    def problems(self, decode: Any) -> dict[str, Problem]:
        """What the student read before each trace: the scores do not keep the bare question."""
        found = {}
        for problem_id, places in sorted(self.places.items(), key=lambda item: item[1]):
            group, row = places[0]
            prompt = self.group(group)["prompt_ids"][row].as_py()
            found[problem_id] = Problem(decode(prompt), answer="", source="")
        return found

    def traces(self, problem_id: str | None = None) -> Iterator[Trace]:
        wanted = sorted(self.places) if problem_id is None else [problem_id] if problem_id in self.places else []
        for one in wanted:
            yield from sorted((self._trace(*place) for place in self.places[one]), key=lambda trace: trace.attempt)

    def _trace(self, group: int, row: int) -> Trace:
        table = self.group(group)
        number, problem_id, attempt = (table[name][row].as_py() for name in ("trace", "problem_id", "attempt"))
        verdict = self.rows[number]["verdict"]
        return Trace(problem_id, attempt, verdict=verdict, **token_columns(table, row))
