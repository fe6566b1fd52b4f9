"""`ownwords generate`: problems in, a run directory of judged traces out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ownwords.answers.checker import Checker
from ownwords.answers.endpoint import EndpointJudge
from ownwords.answers.extract import find_answer, split_thinking
from ownwords.chat.prompts import Prompts, Style, make_prompts
from ownwords.chat.templates import decode
from ownwords.engines.architecture import check_architecture
from ownwords.engines.local import Finished, LocalEngine, Request, longest
from ownwords.engines.memory import plan_slots
from ownwords.engines.stops import Stops
from ownwords.generation.begun import as_begun
from ownwords.generation.config import ALONE, GenerateConfig
from ownwords.generation.judging import Judging
from ownwords.generation.plan import PRIVILEGED, Plan, shown_at
from ownwords.generation.problem_set import read_problems
from ownwords.generation.progress import InFlight, Progress
from ownwords.io.paths import check_folder
from ownwords.io.process import interruptible, versions
from ownwords.models.context import context_length
from ownwords.models.load import Loaded, load
from ownwords.models.vocabulary import Alignment, Vocabulary, align
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.noise import attempt_noise
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.spelled import Spelled
from ownwords.rsd.step import Rules
from ownwords.traces.store import Store

SPELLED = 8
"""Tokens of the student's own that an attempt has room for: think tags, as a rule."""
LARGEST_BATCH = 256
"""More rows than this hardly give more tokens per second, and are lost to a kill."""
AHEAD = 32
"""Problems whose prompts may be read before their turn, together with others."""
PACKAGES = ("ownwords", "torch", "transformers", "tokenizers", "numpy", "latex2sympy2_extended", "reasoning-gym")
"""those whose versions a run keeps"""


@dataclass(frozen=True)
class Prepared:
    """Everything that stands before the first token."""

    config: GenerateConfig
    problems: list[Problem]
    teacher: Loaded | None
    """None: the student writes alone"""
    student: Loaded
    alignment: Alignment
    style: Style
    prompts: dict[str, tuple[list[int], list[int]]]
    """problem id -> teacher's and student's prompt ids"""
    privileged: dict[str, list[int]]
    """problem id -> prompt ids of the privileged teacher"""
    rules: Rules
    stops: Stops
    slots: int
    capacity: int
    remarks: dict[str, str]
    """what the plan tells of problems and prompts: left out, in a benchmark, without a reference that rules can read"""

    def pair(self, problem_id: str, attempt: int) -> tuple[list[int], list[int]]:
        """What teacher and student read before an attempt."""
        theirs, ours = self.prompts[problem_id]
        return (self.privileged[problem_id] if shown_at(attempt) else theirs), ours

    def budget(self, problem_id: str, attempt: int) -> int:
        """Tokens that an attempt may write: the configured number, or what the context leaves."""
        return min(self.config.budget.max_tokens, self.capacity + 1 - max(map(len, self.pair(problem_id, attempt))))


def prepare(config: GenerateConfig, problems: list[Problem] | None = None, student: Loaded | None = None) -> Prepared:
    """Load and check everything; `problems` and `student` may be at hand already.

    Raises ValueError for whatever would stop the run, before the first token.
    """
    config = as_begun(config.resolved())
    check_folder(config.run, "--run")
    problems, remarks = (problems, {}) if problems else read_problems(config)
    if config.checking.judge_url:
        EndpointJudge(config.checking.judge_url, config.checking.judge_model).probe()
    local, prompting = config.local, config.prompting
    student = student or load(config.student, "student", local.student_device, local.student_dtype)
    alone = config.teacher == ALONE
    teacher = student if alone else load(config.teacher, "teacher", local.teacher_device, local.teacher_dtype)
    types = {"student_dtype": student.dtype} | ({} if alone else {"teacher_dtype": teacher.dtype})
    config = config.changed(**types)  # what was chosen is part of the run
    ours = Vocabulary.of(student.model, student.tokenizer)
    alignment = align(Vocabulary.of(teacher.model, teacher.tokenizer), ours).to(student.model.device)
    theirs = prompting.system if prompting.teacher_system is None else prompting.teacher_system
    prompts = make_prompts(
        problems, teacher.tokenizer, student.tokenizer, (theirs, prompting.system), prompting.opening, prompting.think,
        prompting.privileged, prompting.template_kwargs,
    )  # fmt: skip
    capacity = _capacity(config, teacher, student, prompts, spelling(alignment)[1])
    sides = [(student, config.student)] if alone else [(teacher, config.teacher), (student, config.student)]
    for side, name in sides:
        check_architecture(side.model, capacity, name)
    if config.soft_targets and config.soft_targets > (ids := len(student.tokenizer)):
        raise ValueError(f"soft-targets is {config.soft_targets}, the student's tokenizer has {ids} ids: take fewer")
    rules = Rules(
        gate=parse_gate(config.rules.gate),
        proposals=config.rules.proposals,
        teacher=Sampling(**vars(config.rules.teacher_sampling)),
        student=Sampling(**vars(config.rules.student_sampling)),
        gate_sees_shaped=config.rules.gate_sees == "shaped",
        teacher_of_V=alignment.teacher_of_V,
        known_V=alignment.known_V,
        teacher_ends=alignment.teacher_ends,
        end_id=alignment.end_id,
        spelled=_spelled(config, alignment, student),
        soft_targets=config.soft_targets or 0,
    )
    stops = Stops(frozenset(ours.ends), config.budget.max_fallback, config.budget.repetition_window)
    attempts = (config.budget.max_attempts if config.budget.until_correct else config.budget.attempts) * len(problems)
    most = min(attempts, LARGEST_BATCH if local.batch == "auto" else local.batch)
    slots = plan_slots([side.model for side, _ in sides], capacity + longest(drafts(config)) + 1, most)
    return Prepared(
        config, problems, None if alone else teacher, student, alignment, prompts.style, prompts.pairs,
        prompts.privileged, rules, stops, slots, capacity, remarks | prompts.remarks,
    )  # fmt: skip


def drafts(config: GenerateConfig) -> int | None:
    """The draft length as the engine takes it."""
    return None if config.local.draft_length == "auto" else config.local.draft_length


def _capacity(config: GenerateConfig, teacher: Loaded, student: Loaded, prompts: Prompts, longest_spelling: int) -> int:
    """Positions per slot: the longest prompt, the whole budget, and room for the teacher to spell a few tokens that are
    the student's alone, unless a model's context is shorter."""
    longest, problem_id = max(
        (max(len(theirs), len(ours), len(prompts.privileged.get(i, ()))), i)
        for i, (theirs, ours) in prompts.pairs.items()
    )
    context = min(context_length(side.model.config) for side in (teacher, student))
    if longest + len(prompts.style.forced) + 1 > context:
        raise ValueError(
            f"the prompt of problem {problem_id} has {longest} tokens, the models read {context}: "
            "leave that problem out or take models with a longer context"
        )
    return min(longest + config.budget.max_tokens - 1 + SPELLED * (longest_spelling - 1), context)


def spelling(alignment: Alignment) -> tuple[Callable[[int], tuple[int, ...]] | None, int]:
    """What the engine feeds the teacher for a token of the student's, None where the ids are the same, and the most
    ids that it takes."""
    if alignment.teacher_of_V is None:
        return None, 1
    return alignment.to_teacher, max(map(len, alignment.spellings.values()), default=1)


def _spelled(config: GenerateConfig, alignment: Alignment, student: Loaded) -> Spelled | None:
    if config.rules.spelled == "student" or not alignment.products:
        return None
    return Spelled.of(alignment.products, student.model.device)


def flat_config(prepared: Prepared) -> dict[str, Any]:
    """The resolved configuration, with what identifies the weights."""
    sides = {"teacher": prepared.teacher, "student": prepared.student}
    weights = {f"{role}_weights": side.fingerprint for role, side in sides.items() if side}
    return {**prepared.config.flat(), **weights}


def generate(prepared: Prepared, tell: Callable[[Progress], None] = lambda progress: None) -> bool:
    """Make the attempts that the run directory lacks. Returns False if it was interrupted; what had ended is kept.

    Raises ValueError if an attempt could not be judged, after all others are made.
    """
    config = prepared.config
    flat = flat_config(prepared)
    identity = [key for key in flat if key not in config.free()]
    with (
        Store.open(config.run, flat, versions(*PACKAGES), identity) as store,
        Checker(config.checking.check_workers, config.checking.check_deadline, _endpoint(config)) as checker,
        interruptible() as interrupted,
    ):
        plan = make_plan(prepared, store.verdicts())
        engine = LocalEngine(
            prepared.teacher.model if prepared.teacher else None, prepared.student.model, prepared.rules,
            prepared.stops, prepared.slots, prepared.capacity, drafts(config), *spelling(prepared.alignment),
        )  # fmt: skip

        judging = Judging(plan, checker, store)
        progress = Progress(
            plan.made, plan.most_left, plan.solved, len(plan.problems), config.budget.max_tokens,
            bound=bool(config.budget.until_correct or plan.rescue),
        )  # fmt: skip

        def begin(doing: str) -> None:
            progress.doing = doing
            tell(progress)

        kinds = {problem.kind for problem in prepared.problems if problem.answer}
        if kinds and plan.most_left:
            begin("starting the processes that check answers")
            checker.start(kinds)
        begin("")
        while not interrupted():
            if judging.kept():
                progress.made, progress.left, progress.solved = plan.made, plan.most_left, plan.solved
            taken = plan.take(engine.free)
            if taken:
                begin("reading prompts")
                coming = {(i, shown_at(n)): prepared.pair(i, n) for i, n in plan.coming(AHEAD)}
                engine.admit([_request(prepared, *pair) for pair in taken], coming)
                if not progress.tokens:
                    begin("writing the first tokens")
            progress.started += len(taken)
            ended = engine.step()
            for finished in ended:
                judging.submit(to_trace(finished, prepared, plan.problems[finished.key[0]].kind))
            if not engine.rows and judging:
                judging.wait()
            _note(progress, engine, ended)
            progress.waiting = max(0, progress.left - len(engine.rows) - len(judging))
            tell(progress)
            if not engine.rows and not judging:
                break
        judging.finish()  # where it was interrupted: what has ended is judged and kept
        if interrupted():
            return False
        judging.refuse_unjudged()
        return True


def _note(progress: Progress, engine: LocalEngine, ended: list[Finished]) -> None:
    """What a block of the engine has changed."""
    progress.doing = ""
    progress.tokens, progress.prompts = engine.work.tokens, engine.work.prompts
    progress.flying = [
        InFlight(row.request.key, row.columns["token_ids"][: row.written], row.columns["source"][: row.written])
        for row in engine.rows
    ]
    progress.ended = [InFlight(one.key, one.columns["token_ids"], one.columns["source"]) for one in ended]
    progress.written = sum(len(one.token_ids) for one in progress.flying)
    progress.lengths += [len(one.token_ids) for one in progress.ended]
    progress.teacher_tokens += sum(one.by(TEACHER) for one in progress.ended)
    progress.student_tokens += sum(one.by(STUDENT) for one in progress.ended)


def make_plan(prepared: Prepared, done: dict[str, dict[int, str]]) -> Plan:
    """The attempts that are owed, given the verdicts of those that are stored."""
    budget, prompting, first, rescue = prepared.config.budget, prepared.config.prompting, 0, None
    if prompting.privileged and prompting.privileged_when == "always":
        first = PRIVILEGED[prompting.privileged]
    elif prompting.privileged:
        rescue = PRIVILEGED[prompting.privileged]
    return Plan(prepared.problems, done, budget.attempts, budget.until_correct, budget.max_attempts, first, rescue)


def _request(prepared: Prepared, problem: Problem, attempt: int) -> Request:
    teacher_prompt, student_prompt = prepared.pair(problem.id, attempt)
    return Request(
        key=(problem.id, attempt),
        prompts=(problem.id, shown_at(attempt)),
        teacher_prompt=teacher_prompt,
        student_prompt=student_prompt,
        noise=attempt_noise(prepared.config.seed, problem.id, attempt, prepared.budget(problem.id, attempt)),
        forced=prepared.style.forced,
    )


def _endpoint(config: GenerateConfig) -> EndpointJudge | None:
    if config.checking.judge_url is None or config.checking.judge_model is None:
        return None
    return EndpointJudge(config.checking.judge_url, config.checking.judge_model, config.run / "judge.jsonl")


def to_trace(finished: Finished, prepared: Prepared, kind: str) -> Trace:
    """The record of an attempt at a problem of a kind, not yet judged."""
    problem_id, attempt = finished.key
    text = decode(prepared.student.tokenizer, finished.columns["token_ids"], prepared.config.prompting.think)
    thinking, answer_text = split_thinking(text, closing=prepared.style.closing)
    found = find_answer(answer_text, kind, prepared.config.checking.answer_from)
    return Trace(
        problem_id=problem_id,
        attempt=attempt,
        prompt_ids=prepared.prompts[problem_id][1],
        **finished.columns,
        finish_reason=finished.finish_reason,
        thinking=thinking,
        answer_text=answer_text,
        answer=found.answer if found else "",
        found_by=found.rule if found else "",
        privileged=shown_at(attempt),
        seconds=finished.seconds,
    )
