"""The Rank-Surprisal Ratio of every set under every student: from a run's own columns where it is the run's student,
else by `ownwords score`, one pass per trace.

The long traces are read as a sample: those that have at most so many tokens, in an order drawn with a seed.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from ownwords.io.process import versions
from ownwords.models.load import load_tokenizer
from ownwords.rsd.columns import FORCED
from ownwords.suitability.scores import trace_scores
from ownwords.suitability.scoring import score as score_set
from ownwords.suitability.survey import ScoreConfig
from ownwords.traces.store import Store

LONG = "long"
"""the name of the sample of long traces"""


def sample(source: Path, student: str, count: int, most: int, out: Path) -> str:
    """Write `count` long traces of at most `most` tokens of the student's to `out`; what they were drawn from."""
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    tokenizer = load_tokenizer(student, "student")
    short = [row for row in rows if len(tokenizer(row["thinking"] + row["solution"])["input_ids"]) <= most]
    drawn = random.Random(0).sample(short, min(count, len(short)))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in drawn))
    return f"{len(drawn)} drawn from the {len(short)} of {len(rows)} long traces that have at most {most} tokens"


def score(traces: Path, student: str, out: Path, number: int | None, dtype: str) -> None:
    """`ownwords score`, resumed if it was killed."""
    drawn = f" --sample {number}" if number else ""
    print(f"ownwords score {traces} --student {student} --out {out} --dtype {dtype}{drawn}", flush=True)
    config = ScoreConfig(traces=str(traces), student=student, out=out, sample=number, dtype=dtype, batch_tokens=2048)
    score_set(config, versions("ownwords", "torch", "transformers", "tokenizers"))


def run_rows(run: Path) -> list[dict[str, Any]]:
    """The traces of a run as rows of scores.parquet, from the columns that it has. Entropy and steps are not among
    them: what is made of those is left out."""
    rows = []
    with Store.read(run) as store:
        for trace in store.traces():
            free = trace.source != FORCED
            zeros = np.zeros(int(free.sum()))
            scores = trace_scores(-trace.student_logprob[free], trace.student_rank[free], zeros, zeros.astype(int))
            named = {name: scores[name] for name in ("mean_rank", "mean_surprisal", "below_1")}
            length = len(trace.token_ids)
            rows.append({"problem_id": trace.problem_id, "skipped": "", "length": length, **named})
    return rows
