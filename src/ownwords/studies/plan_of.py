"""From a study to its steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from ownwords.api.inputs import configured
from ownwords.configuration import given, options
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.config import GenerateConfig
from ownwords.rsd.gates import parse_gate
from ownwords.studies.graph import Step
from ownwords.studies.study_file import Arm, Study
from ownwords.training.config import DistillConfig, TrainConfig

BASE = "base"
"""the student as it came"""


@dataclass(frozen=True)
class Cell:
    """Students of an arm, one per seed (of the base: one), asked one benchmark."""

    arm: str
    problems: str
    """`own` or `shared`; of the base the same as of those that it is compared with"""
    benchmark: str
    answers: tuple[Step, ...]

    @property
    def trainings(self) -> tuple[Step, ...]:
        return tuple(one.after[0] for one in self.answers if one.after)


def cells_of(study: Study) -> list[Cell]:
    """What is measured, the base first. Raises ValueError for an arm whose options no command would take."""
    traces = {arm.name: _traces(arm) for arm in study.arms}
    for arm in study.arms:
        _check(arm, study)
    cells = []
    for problems in study.problems:
        for benchmark, asked in study.benchmarks.items():
            base = Step("answers", {"model": study.student} | asked, said=f"{BASE}: {benchmark}")
            cells.append(Cell(BASE, problems, benchmark, (base,)))
        shared = _shared(study, traces) if problems == "shared" else None
        for arm in study.arms:
            students = [_student(arm, seed, study, traces[arm.name], shared) for seed in study.seeds]
            for benchmark, asked in study.benchmarks.items():
                answers = tuple(
                    Step("answers", dict(asked), (student,), f"{arm.name}, seed {seed}: {benchmark}")
                    for student, seed in zip(students, study.seeds, strict=True)
                )
                cells.append(Cell(arm.name, problems, benchmark, answers))
    return cells


def _traces(arm: Arm) -> Step | None:
    """None of an arm that needs none."""
    if arm.distills:
        return None
    if arm.traces is not None:
        return Step("traces", {"traces": arm.traces}, said=f"{arm.name}: its traces")
    return Step("traces", arm.options["generate"], said=f"{arm.name}: traces")


def _shared(study: Study, traces: dict[str, Step | None]) -> Step:
    """The problems that every arm has solved. An arm more that shares them is another step, and so is all after it."""
    among = [arm for arm in study.arms if arm.said in study.shared_by and traces[arm.name] is not None]
    if not among:
        raise ValueError("problems is shared, and no arm has traces: expected one at least")
    sources = list(dict.fromkeys(one for arm in among if (one := traces[arm.name])))
    asked = []
    for arm in among:
        if (one := traces[arm.name]) and (said := [sources.index(one), _choosing(arm)]) not in asked:
            asked.append(said)
    options = {"student": study.student, "sets": asked}
    return Step("shared", options, tuple(sources), "problems that all have solved")


def _choosing(arm: Arm) -> dict[str, Any]:
    """The options that decide which attempts the training takes."""
    names = ("pick", "incorrect", "max_fallback", "max_length", "over_length")
    return {name: arm.options["train"][name] for name in names if name in arm.options["train"]}


def _student(arm: Arm, seed: int, study: Study, traces: Step | None, shared: Step | None) -> Step:
    said = f"{arm.name}, seed {seed}"
    if traces is None:
        options = {"student": study.student} | arm.options["distill"] | {"seed": seed}
        return Step("distilling", options, said=f"{said}: distilling")
    options = {"student": study.student} | arm.options["train"] | {"seed": seed}
    source = traces
    if arm.selects:
        scoring = {"student": study.student} | arm.options["score"]
        scores = Step("scores", scoring, (traces,), f"{arm.name}: scores")
        source = Step("choice", arm.options["select"], (scores,), f"{arm.name}: choice")
    after = (source,) if shared is None else (source, shared)
    return Step("training", options, after, f"{said}: training")


def _check(arm: Arm, study: Study) -> None:
    asked: list[tuple[str, type[Any], dict[str, Any]]] = [
        ("eval", EvalConfig, {"run": ".", "model": "world"} | one) for one in study.benchmarks.values()
    ]
    if arm.distills:
        asked.append(("distill", DistillConfig, {"out": "."} | arm.options["distill"]))
    else:
        asked.append(("train", TrainConfig, {"data": ["."], "out": "."} | arm.options["train"]))
        if arm.traces is None:
            asked.append(("generate", GenerateConfig, {"run": "."} | arm.options["generate"]))
    for command, kind, flat in asked:
        where = f"arms.{arm.name}: {command}" if command != "eval" else "benchmarks"
        try:
            config = configured(kind, **typed(kind, flat))
            if isinstance(config, TrainConfig | GenerateConfig):
                config = config.resolved()
            if isinstance(config, GenerateConfig):
                parse_gate(given(config.rules.gate))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def typed(kind: type[Any], flat: dict[str, Any]) -> dict[str, Any]:
    """Options from a file as a configuration has them: paths, and lists of a fixed length."""
    known, found = options(kind), dict(flat)
    for name, value in flat.items():
        if name in known:
            kinds = (known[name].kind, *get_args(known[name].kind))
            if isinstance(value, str) and Path in kinds:
                found[name] = Path(value)
            if isinstance(value, list) and any(get_origin(one) is tuple for one in kinds):
                found[name] = tuple(value)
    return found
