"""The scores of one run, as `scores.json` keeps them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ownwords.answers.checker import Checker
from ownwords.evaluation.intervals import LEVEL, RESAMPLES, mean_intervals
from ownwords.evaluation.table import Table, read_answers, samples, tabulate
from ownwords.io.files import write_file
from ownwords.traces.store import Store

SETTINGS = (
    "student_sampling.temperature", "student_sampling.top_p", "student_sampling.top_k", "max_tokens",
    "repetition_window", "system", "opening", "think", "seed", "answer_from", "judge_model",
)  # fmt: skip
"""of the run's configuration: what a score depends on besides the model and the problems"""


def score(store: Store, checker: Checker) -> dict[str, Any]:
    """Everything that `scores.json` holds. Raises ValueError where the run has no answers yet."""
    answers = read_answers(store)
    if not answers:
        raise ValueError(f"{store.run_dir} holds no answers yet: run ownwords eval --run {store.run_dir}")
    n = samples(answers)
    table = tabulate([*answers.values()], n, store.config["max_tokens"], checker)
    found = dict(zip(table.names, mean_intervals(table.values_PM, table.groups, table.bounds), strict=True))
    return {
        "benchmark": store.config["problems"],
        "model": store.config["student"],
        "model_weights": store.config.get("student_weights"),
        "problems": len(table.rows),
        "groups": len(set(table.groups)),
        "samples": n,
        "settings": {name.removeprefix("student_"): store.config.get(name) for name in SETTINGS},
        "interval": f"{LEVEL:.0%}, {RESAMPLES} bootstrap resamples of the problem groups",
        "scores": {name: asdict(interval) for name, interval in found.items()},
        "by_source": _by_source(table),
        "verdicts": dict(Counter(verdict for row in table.rows for verdict in row.verdicts)),
        "finish_reasons": dict(Counter(reason for row in table.rows for reason in row.finish_reasons)),
        "tokens_in_all": sum(sum(row.tokens) for row in table.rows),
    }


def _by_source(table: Table) -> dict[str, Any]:
    """The first score per source of problems, where there are several."""
    sources = np.array([row.problem.source for row in table.rows])
    if len(set(sources)) == 1:
        return {}
    parts = {}
    for source in sorted(set(sources)):
        of_it = np.flatnonzero(sources == source)
        groups = [table.groups[i] for i in of_it]
        [interval] = mean_intervals(table.values_PM[of_it, :1], groups, table.bounds[:1])
        parts[str(source)] = {"problems": len(of_it), **asdict(interval)}
    return parts


def write_scores(run_dir: Path, scores: dict[str, Any]) -> Path:
    """Write `scores.json` into the run directory, in place of what an earlier start wrote there."""
    path = Path(run_dir) / "scores.json"
    write_file(path, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    return path
