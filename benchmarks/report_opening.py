"""How long does a report take to write and to open? 1,000 problems of the small world with 4 traces each, in Chromium.

python benchmarks/report_opening.py --sets 3
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from chromium import chromium, open_page, show_as

from ownwords.models.load import load_tokenizer
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.reports.report import write_report
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.traces.store import Store
from ownwords.world import tasks


def fill(run: Path, problems: int, attempts: int, gate: str = "threshold:0.01", seed: int = 0) -> Path:
    """A run directory with the small world's own solutions as traces: real ids and texts, invented probabilities."""
    tokenizer = load_tokenizer("world", "student")
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    families = [tasks.items(family, seed=1, want_held_out=False) for family in tasks.FAMILIES]
    with Store.open(run, {"student": "world", "gate": gate, "seed": seed}, {"ownwords": "synthetic"}) as store:
        known: set[str] = set()
        for items in itertools.cycle(families):
            if len(known) == problems:
                break
            item = next(items)
            problem = Problem(item["question"], str(item["answer"]), source="synthetic")
            if problem.id in known:
                continue
            known.add(problem.id)
            for attempt in range(attempts):
                text = "".join(text for text, _ in tasks.long_winded(item, rng))
                verdict = rng.choice(["correct", "correct", "incorrect", "unparsable"])
                store.add(problem, invented(tokenizer(text)["input_ids"], problem, attempt, verdict, numbers))
    return run


def invented(ids: list[int], problem: Problem, attempt: int, verdict: str, numbers: np.random.Generator) -> Trace:
    tokens = len(ids)
    student = -numbers.exponential(1.0, tokens)
    refuses = numbers.random(tokens) < 0.2
    return Trace(
        problem_id=problem.id,
        attempt=attempt,
        prompt_ids=np.array([1]),
        token_ids=np.array(ids),
        source=np.where(np.arange(tokens) < 2, FORCED, numbers.choice([TEACHER] * 9 + [STUDENT], tokens)),
        teacher_logprob=-numbers.exponential(0.5, tokens),
        student_logprob=student,
        student_rank=np.ceil(numbers.exponential(1.5, tokens) + 0.01),
        pass_mass=np.where(refuses, numbers.random(tokens), 1),
        refused_id=np.where(refuses, numbers.integers(0, 900, tokens), -1),
        refused_prob=np.where(refuses, numbers.random(tokens), 0),
        finish_reason="stop",
        verdict=verdict,
        answer=problem.answer if verdict == "correct" else "0",
        seconds=tokens / 50,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--sets", type=int, default=1)
    parser.add_argument("--times", type=int, default=5, help="open the page so often")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [fill(Path(folder) / f"set{i}", options.problems, options.attempts, seed=i) for i in range(options.sets)]
        page, begin = Path(folder) / "report.html", time.monotonic()
        write_report(runs, page, budget=64)
        print(f"written in {time.monotonic() - begin:.1f} s: {page.stat().st_size / 2**20:.1f} MiB")
        with chromium() as driver:
            show_as(driver, 1400, 900)
            seconds = [open_page(driver, page) for _ in range(options.times)]
        print(
            f"{options.problems} problems x {options.attempts} traces x {options.sets} sets: opened in "
            f"{median(seconds):.2f} s (median of {options.times}; {min(seconds):.2f} to {max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
