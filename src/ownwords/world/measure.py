"""How good the small world's pair is, and how far apart its two styles are."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ownwords.engines.lane import Lane
from ownwords.generation.config import ALONE, GenerateConfig
from ownwords.generation.options import SamplingOptions
from ownwords.generation.prepare import prepare
from ownwords.generation.run import generate
from ownwords.models.load import load
from ownwords.traces.store import Store
from ownwords.traces.summary import summarise

GREEDY = SamplingOptions(temperature=0.0, top_p=1.0, top_k=0)


def measure_pair(teacher: str, student: str, problems: int, seed: int) -> dict[str, Any]:
    """Greedy accuracy of both on `problems` held-out problems (95 % Wilson intervals), the surprisal (nats) of the
    teacher's greedy traces under the student, and the cost of a decoding step of one row (milliseconds)."""
    figures: dict[str, Any] = {"problems": problems, "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        for role, gate, proposer in (("teacher", "always", teacher), ("student", "never", ALONE)):
            config = GenerateConfig.of(
                run=Path(folder) / role, problems=f"world:size={problems},seed={seed}", gate=gate, attempts=1,
                teacher=proposer, student=student, teacher_sampling=GREEDY, student_sampling=GREEDY,
            )  # fmt: skip
            generate(prepare(config))
            with Store.read(config.run) as store:
                figures[role] = accuracy(store)
                if role == "teacher":
                    summary = summarise(store.traces())
                    figures["teacher_traces_under_student"] = {
                        "mean_surprisal_nats": round(summary.mean_surprisal, 3),
                        "share_below_1_percent": round(summary.implausible, 4),
                    }
    costs = step_costs(teacher, student)
    figures["step_ms"] = {role: round(1000 * seconds, 2) for role, seconds in costs.items()}
    figures["step_cost_ratio"] = round(costs["teacher"] / costs["student"], 2)
    return figures


def accuracy(store: Store) -> dict[str, Any]:
    """Share of correct attempts, in all and per source, each with a 95 % interval."""
    right: dict[str, list[bool]] = defaultdict(list)
    problems = store.problems()
    for trace in store.traces():
        for group in ("all", problems[trace.problem_id].source):
            right[group].append(trace.verdict == "correct")
    return {
        group: {"accuracy": round(sum(r) / len(r), 4), "interval": wilson(sum(r), len(r)), "n": len(r)}
        for group, r in sorted(right.items())
    }


def wilson(successes: int, n: int, z: float = 1.96) -> list[float]:
    """95 % score interval of a share."""
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return [round(centre - half, 4), round(centre + half, 4)]


def step_costs(teacher: str, student: str, steps: int = 200) -> dict[str, float]:
    """Seconds per decoding step of one row, median; the two models take turns, so that noise hits both."""
    lanes = {}
    for role, name in (("teacher", teacher), ("student", student)):
        lane = Lane(load(name, role, "cpu", "auto").model, slots=1, capacity=steps + 80)
        lane.admit(lane.read([[0] * 65])[0], 64)
        lanes[role] = lane
    seconds: dict[str, list[float]] = {role: [] for role in lanes}
    for _ in range(steps):
        for role, lane in lanes.items():
            started = time.perf_counter()
            lane.feed(torch.tensor([[1]]))
            seconds[role].append(time.perf_counter() - started)
    return {role: median(times[20:]) for role, times in seconds.items()}
