"""Whether training problems are benchmark problems: 13 words in a row that both have.

Words are runs of letters and digits, in lower case after NFKC; a question of fewer than 13 words is compared whole.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ownwords.records.problem import Problem

WORDS = 13
BENCHMARKS = (
    "gsm8k/test.jsonl", "math500/test.jsonl", "aime_amc/aime24.jsonl", "aime_amc/aime25.jsonl", "aime_amc/amc23.jsonl",
    "small_sets/svamp_test.jsonl", "small_sets/aqua_test.jsonl", "small_sets/olympiadbench_test.jsonl",
)  # fmt: skip
"""files that are looked for below the folder that the variable OWNWORDS_DATA names"""


def shingles(question: str) -> set[tuple[str, ...]]:
    """Every run of 13 words of a question, or all of its words where it has fewer."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", question).lower())
    return {tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1))}


def overlapping(problems: Iterable[Problem], benchmark: Iterable[Problem]) -> list[Problem]:
    """Those of `problems` that share a shingle with a problem of the benchmark."""
    known = {shingle for problem in benchmark for shingle in shingles(problem.question)}
    return [problem for problem in problems if not known.isdisjoint(shingles(problem.question))]


def benchmarks_at_hand() -> list[str]:
    """The benchmark files that this machine has."""
    folder = os.environ.get("OWNWORDS_DATA")
    return [str(path) for name in BENCHMARKS if folder and (path := Path(folder) / name).is_file()]
