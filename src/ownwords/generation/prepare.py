"""Everything that stands before the first token: problems, prompts, a job, and an engine that is open for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ownwords.answers.endpoint import EndpointJudge
from ownwords.chat.prompts import Prompts, Style, make_prompts
from ownwords.configuration import FieldError, given
from ownwords.engines.engine import Engine, Job, Pair, Request, Solo, open_engine
from ownwords.engines.options import LocalOptions
from ownwords.generation.begun import as_begun
from ownwords.generation.config import ALONE, LOCAL, GenerateConfig
from ownwords.generation.options import Checking
from ownwords.generation.plan import PRIVILEGED, Owed, shown_at
from ownwords.generation.problem_set import read_problems
from ownwords.io.paths import check_folder
from ownwords.models.load import Loaded
from ownwords.models.named import named
from ownwords.records.problem import Problem
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling


class Limits(Protocol):
    """Of the budget."""

    @property
    def max_tokens(self) -> int: ...


class Tags(Protocol):
    """Of the prompting."""

    @property
    def think(self) -> tuple[str, str]: ...


class RunConfig(Protocol):
    """What the configurations of all commands that write traces have in common."""

    @property
    def run(self) -> Path: ...
    @property
    def seed(self) -> int: ...
    @property
    def budget(self) -> Limits: ...
    @property
    def prompting(self) -> Tags: ...
    @property
    def checking(self) -> Checking: ...
    def flat(self) -> dict[str, Any]: ...
    @classmethod
    def free(cls) -> frozenset[str]: ...


C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class Prepared(Generic[C]):
    """A run that can begin."""

    config: C
    problems: list[Problem]
    style: Style
    prompts: dict[str, tuple[list[int], list[int]]]
    """problem id -> teacher's and student's prompt ids"""
    privileged: dict[str, list[int]]
    """problem id -> prompt ids of the privileged teacher"""
    owed: Owed
    job: Job
    engine: Engine
    remarks: dict[str, str]
    """what the plan tells of problems and prompts: left out, in a benchmark, without a reference that rules can read"""

    def pair(self, problem_id: str, attempt: int) -> tuple[list[int], list[int]]:
        """What teacher and student read before an attempt."""
        theirs, ours = self.prompts[problem_id]
        return (self.privileged[problem_id] if shown_at(attempt) else theirs), ours

    def request(self, problem_id: str, attempt: int) -> Request:
        """What the engine is given for an attempt."""
        theirs, ours = self.pair(problem_id, attempt)
        return Request(
            key=(problem_id, attempt),
            prompts=(problem_id, shown_at(attempt)),
            teacher_prompt=theirs if isinstance(self.job.writer, Pair) else (),
            student_prompt=ours,
            max_tokens=self.config.budget.max_tokens,
            forced=self.style.forced,
        )

    def record(self) -> dict[str, Any]:
        """The configuration with what the engine says of the models: what a run directory keeps."""
        return {**self.config.flat(), **self.engine.describe().record}

    def identity(self, record: dict[str, Any]) -> list[str]:
        """The keys of the record that make a trace what it is: they must not change between two starts."""
        free = self.config.free()
        return [key for key in record if key.split(".")[0] not in free]


def prepare(
    config: GenerateConfig, problems: list[Problem] | None = None, loaded: Mapping[str, Loaded] | None = None
) -> Prepared[GenerateConfig]:
    """Load and check everything. `problems` may be at hand already, and so may models: `loaded` by role.

    Raises ValueError for whatever would stop the run, before the first token.
    """
    config, loaded = config.resolved(), loaded or {}
    config = replace(config, local=as_begun(config.local, config.run))
    check_folder(config.run, field="run")
    problems, remarks = (problems, {}) if problems else read_problems(config)
    probe(config.checking)
    student = named(config.student, "student", loaded.get("student"))
    alone = config.teacher == ALONE
    teacher = student if alone else named(config.teacher, "teacher", loaded.get("teacher"))
    rules, prompting, budget = config.rules, config.prompting, config.budget
    theirs = prompting.system if prompting.teacher_system is None else prompting.teacher_system
    prompts = make_prompts(
        problems, teacher.tokenizer, student.tokenizer, (theirs, prompting.system), prompting.opening, prompting.think,
        prompting.privileged, prompting.template_kwargs,
    )  # fmt: skip
    if config.soft_targets and config.soft_targets > (ids := len(student.tokenizer)):
        raise FieldError(
            "soft_targets", "{soft_targets} is {}, the student's tokenizer has {} ids: take fewer",
            config.soft_targets, ids,
        )  # fmt: skip
    ours = Sampling(**vars(rules.student_sampling))
    writer: Pair | Solo = Solo(student, ours)
    if not alone:
        writer = Pair(
            teacher, student, parse_gate(given(rules.gate)), given(rules.proposals),
            Sampling(**vars(rules.teacher_sampling)), ours, rules.gate_sees == "shaped", rules.spelled == "product",
        )  # fmt: skip
    first = PRIVILEGED[prompting.privileged] if prompting.privileged else 0
    always = prompting.privileged_when == "always"
    owed = Owed(
        budget.attempts, budget.until_correct, budget.max_attempts,
        first=first if always else 0, rescue=first if first and not always else None,
    )  # fmt: skip
    job = Job(
        writer, config.seed, longest_of(prompts, budget.max_tokens, alone), owed.most * len(problems),
        budget.max_fallback, budget.repetition_window, config.soft_targets or 0,
    )  # fmt: skip
    options = config.local if config.engine == LOCAL else config.engine_options
    return opened(config, problems, prompts, owed, job, remarks, config.engine, options)


def opened(
    config: C, problems: list[Problem], prompts: Prompts, owed: Owed, job: Job, remarks: dict[str, str],
    engine: str, options: LocalOptions | dict[str, Any],
) -> Prepared[C]:  # fmt: skip
    """A prepared run, with the engine of that name open for its job."""
    return Prepared(
        config, problems, prompts.style, prompts.pairs, prompts.privileged, owed, job,
        open_engine(engine, job, options), remarks | prompts.remarks,
    )  # fmt: skip


def longest_of(prompts: Prompts, max_tokens: int, alone: bool) -> Request:
    """The request that needs the most room; of equal ones the last by name."""

    def room(problem_id: str) -> tuple[int, str]:
        theirs, ours = prompts.pairs[problem_id]
        sides = [ours] if alone else [theirs, ours, prompts.privileged.get(problem_id, [])]
        return max(map(len, sides)), problem_id

    problem_id = max(prompts.pairs, key=room)
    theirs, ours = prompts.pairs[problem_id]
    theirs = [] if alone else max(theirs, prompts.privileged.get(problem_id, []), key=len)
    return Request((problem_id, 0), problem_id, theirs, ours, max_tokens, prompts.style.forced)


def probe(checking: Checking) -> None:
    """Ask the endpoint that judges, if there is one, whether it is there."""
    if checking.judge_url and checking.judge_model:
        EndpointJudge(checking.judge_url, checking.judge_model).probe()
