"""`ownwords pilot`: a few problems under a few gates, measured as the whole run would be made."""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from ownwords.configuration import given
from ownwords.engines.engine import Pair
from ownwords.generation.config import GenerateConfig
from ownwords.generation.forecast import Arm, Forecast, Outcome, forecast, suggest
from ownwords.generation.prepare import Prepared, prepare
from ownwords.generation.progress import Progress
from ownwords.generation.run import generate
from ownwords.io.files import write_file
from ownwords.io.paths import check_folder
from ownwords.records.problem import Problem
from ownwords.rsd.gates import parse_gate
from ownwords.traces import fit
from ownwords.traces.soft import Overlap
from ownwords.traces.store import Store
from ownwords.traces.summary import Summary, pass_at_k, summarise

GATES = ("threshold:0.03", "threshold:0.01", "threshold:0.003")
PROBLEMS = 20
TOP = 16
"""k of the soft targets that a pilot keeps for itself, where the run keeps none: that of arXiv 2604.13016"""


@dataclass(frozen=True)
class Pilot:
    """All of it, gate by gate."""

    prepared: Prepared[GenerateConfig]
    """the whole run"""
    slots: int
    """attempts that are written at once"""
    arms: list[Arm]
    summaries: list[Summary]
    overlaps: list[Overlap | None]
    """None without a teacher"""
    forecasts: list[Forecast]
    suggested: str
    """a gate"""
    peak_bytes: int
    """of the GPUs' memory, or of this process's where there is none"""
    contention: float
    """processes that wanted to run, per core; 1 where there was room for all"""
    fit: list[str]
    """whether the two models fit each other: a line each"""


def run_pilot(
    config: GenerateConfig, gates: Sequence[str], size: int, tell: Callable[[str, Progress], None]
) -> Pilot | None:
    """Make a pilot of `size` problems into `config.run`, a folder per gate; None if it was interrupted.

    The problems are drawn at random from those of the run. Where the run makes a fixed number of attempts, the pilot
    makes as many more as fill the engine's slots: a speed is worth little at another batch size.
    Raises ValueError where the folder exists: what has been made cannot be timed again.
    """
    gates = list(dict.fromkeys(str(parse_gate(gate)) for gate in gates))
    if size < 2:
        raise ValueError(f"{size} problems, expected at least 2: an interval needs to see how problems differ")
    check_folder(config.run, field="run")
    if config.run.exists():
        raise ValueError(f"{config.run} exists already: a pilot is timed and so starts anew, name another --run")
    prepared = prepare(config)
    if len(prepared.problems) < 2:
        raise ValueError(f"{config.source.problems} gives {len(prepared.problems)} problem, a pilot needs at least 2")
    sample = random.Random(config.seed).sample(prepared.problems, min(size, len(prepared.problems)))
    slots = prepared.engine.describe().slots
    arms, summaries, overlaps = [], [], []
    for gate in gates:
        arm = with_gate(prepared, gate, sample)
        clock = Clock(partial(tell, gate))
        if not generate(arm, clock):
            return None
        summary, measured = measure(arm, prepared.config, clock.blocks)
        arms.append(measured)
        summaries.append(summary)
        overlaps.append(overlap(arm))
    busy = contention()
    forecasts = [forecast(arm, arms, len(prepared.problems), slots, busy) for arm in arms]
    told = fitting(prepared, [prepared.config.run / folder_of(gate) for gate in gates])
    pilot = Pilot(prepared, slots, arms, summaries, overlaps, forecasts, suggest(arms).gate, peak_bytes(), busy, told)
    write(pilot, config.run / "pilot.json")
    return pilot


def with_gate(prepared: Prepared[GenerateConfig], gate: str, sample: list[Problem]) -> Prepared[GenerateConfig]:
    """The run's own preparation for one gate and the pilot's problems."""
    attempts, writer = prepared.config.budget.attempts, prepared.job.writer
    if scales(prepared.config):
        attempts = max(attempts, -(-prepared.engine.describe().slots // len(sample)))
    folder = prepared.config.run / folder_of(gate)
    top = prepared.config.soft_targets or min(TOP, len(writer.student.tokenizer))
    config = prepared.config.changed(run=folder, gate=gate, attempts=attempts, soft_targets=top).resolved()
    if isinstance(writer, Pair):
        writer = replace(writer, gate=parse_gate(gate))
    job = replace(prepared.job, writer=writer, max_fallback=config.budget.max_fallback, soft_targets=top)
    return replace(
        prepared,
        config=config,
        problems=sample,
        owed=replace(prepared.owed, attempts=attempts),
        job=job,
        engine=prepared.engine.again(job),
    )


def folder_of(gate: str) -> str:
    return gate.replace(":", "-")


def fitting(prepared: Prepared[GenerateConfig], runs: Sequence[Path]) -> list[str]:
    """Mean probability that each model gives to closing the thinking and to ending the turn, where traces did so."""
    writer = prepared.job.writer
    marks = fit.marks(writer.student.tokenizer, prepared.config.prompting.think)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in marks}
    attempts = 0
    for run in runs:
        with Store.read(run) as store:
            for trace in store.traces():
                attempts += 1
                for name, mark in marks.items():
                    at = fit.place(name, mark, trace.token_ids)
                    if at is not None:
                        found[name].append((trace.column("teacher_logprob")[at], trace.column("student_logprob")[at]))
    lines = []
    for name, pairs in found.items():
        if pairs:
            teacher, student = np.exp(np.array(pairs)).mean(axis=0).tolist()
            of = {"teacher": teacher, "student": student} if isinstance(writer, Pair) else {"student": student}
            if name == fit.CLOSING and len(writer.alignment.to_teacher(marks[name])) > 1:
                of.pop("teacher", None)  # it spells the tag, and has no one token for it
            lines.append(fit.remark(name, len(pairs), of))
        elif name == fit.END:
            lines.append(
                f"{name}: none of {attempts} attempts came to it; raise --max-tokens, or see whether the student's "
                "template ends turns otherwise"
            )
    return lines


def scales(config: GenerateConfig) -> bool:
    """Every problem gets the same number of attempts, so that more of them say the same as fewer."""
    return not config.budget.until_correct and not (
        config.prompting.privileged and config.prompting.privileged_when == "unsolved"
    )


class Clock:
    """Listens to a run, and times its blocks, all but those that end the last attempts in flight."""

    def __init__(self, tell: Callable[[Progress], None]):
        self.tell = tell
        self.rows: list[tuple[float, ...]] = []
        self.last: tuple[float, int, int, int, int, int] | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.doing:  # a block has not been made
            self.tell(progress)
            return
        now = time.perf_counter()
        if self.last:
            then, rows, written, started, prompts, tokens = self.last
            rows += progress.started - started
            if progress.rows:  # else it may have waited for verdicts
                self.rows.append((now - then, rows, written, progress.prompts - prompts, progress.tokens - tokens))
        self.last = now, progress.rows, progress.written, progress.started, progress.prompts, progress.tokens
        self.tell(progress)

    @property
    def blocks(self) -> np.ndarray:
        """blocks_I5, see `Arm`."""
        return np.array(self.rows)


def measure(arm: Prepared[GenerateConfig], whole: GenerateConfig, blocks_I5: np.ndarray) -> tuple[Summary, Arm]:
    """What has been made with one gate."""
    outcomes, lengths = [], []
    with Store.read(arm.config.run) as store:
        summary = summarise(store.traces())
        for _, group in groupby(store.traces(), key=lambda trace: trace.problem_id):
            attempts = [(len(trace.token_ids), trace.verdict == "correct") for trace in group]
            made, tokens, correct = len(attempts), sum(n for n, _ in attempts), sum(right for _, right in attempts)
            lengths += [n for n, _ in attempts]
            if scales(whole):
                k = whole.budget.attempts
                outcomes.append(Outcome(tokens * k / made, k, pass_at_k(made, correct, k)))
            else:
                outcomes.append(Outcome(tokens, made, float(correct > 0)))
    arrays = (np.array(lengths), blocks_I5)
    return summary, Arm(given(arm.config.rules.gate), outcomes, *arrays, summary.acceptance, summary.pass_mass)


def overlap(arm: Prepared[GenerateConfig]) -> Overlap | None:
    """What both models' likeliest ids have in common in the traces of one gate."""
    if not isinstance(arm.job.writer, Pair):
        return None
    with Store.read(arm.config.run) as store:
        return Overlap.of(store.traces(soft=True), arm.job.soft_targets)


def peak_bytes() -> int:
    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def contention() -> float:
    """Processes that wanted to run in the last minute, per core of this machine, 1 at least."""
    if not hasattr(os, "getloadavg"):
        return 1.0
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def write(pilot: Pilot, path: Path) -> None:
    """The figures as JSON."""
    gates = {
        arm.gate: {
            "acceptance": arm.acceptance,
            "pass_mass": arm.pass_mass,
            "attempts": summary.attempts,
            "verified": summary.verified,
            "overlap": asdict(common) if common else None,
            "forecast": asdict(prediction),
        }
        for arm, summary, common, prediction in zip(
            pilot.arms, pilot.summaries, pilot.overlaps, pilot.forecasts, strict=True
        )
    }
    figures = {name: getattr(pilot, name) for name in ("suggested", "peak_bytes", "contention", "fit")}
    write_file(path, json.dumps({**figures, "gates": gates}, indent=2) + "\n")
