"""`ownwords generate`: an engine's attempts, judged, into a run directory.

One loop for whatever writes traces: tailored generation, an evaluation, a pilot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ownwords.answers.checker import Checker
from ownwords.answers.endpoint import EndpointJudge
from ownwords.answers.extract import split_thinking
from ownwords.answers.kind import kind_of
from ownwords.chat.templates import decode
from ownwords.engines.engine import AHEAD, Engine, Finished, InFlight
from ownwords.generation.judging import Judging
from ownwords.generation.plan import Plan, shown_at
from ownwords.generation.prepare import Prepared
from ownwords.generation.progress import Progress
from ownwords.io.process import interruptible, versions
from ownwords.records.trace import Trace
from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.traces.store import Store

PACKAGES = ("ownwords", "torch", "transformers", "tokenizers", "numpy", "latex2sympy2_extended", "reasoning-gym")
"""those whose versions a run keeps"""


def generate(prepared: Prepared[Any], tell: Callable[[Progress], None] = lambda progress: None) -> bool:
    """Make the attempts that the run directory lacks. Returns False if it was interrupted; what had ended is kept.

    Raises ValueError if an attempt could not be judged, after all others are made.
    """
    config, engine = prepared.config, prepared.engine
    checking, record = config.checking, prepared.record()
    with (
        Store.open(config.run, record, versions(*PACKAGES), prepared.identity(record)) as store,
        Checker(checking.check_workers, checking.check_deadline, _endpoint(prepared)) as checker,
        interruptible() as interrupted,
    ):
        plan = make_plan(prepared, store.verdicts())
        judging = Judging(plan, checker, store)
        progress = Progress(
            plan.made, plan.most_left, plan.solved, len(plan.problems), config.budget.max_tokens,
            bound=bool(plan.until_correct or plan.rescue),
        )  # fmt: skip

        def begin(doing: str) -> None:
            progress.doing = doing
            tell(progress)

        kinds = {problem.kind for problem in prepared.problems if problem.answer}
        if kinds and plan.most_left:
            begin("starting the processes that check answers")
            checker.start(kinds)
        begin("")
        in_flight = 0
        try:
            while not interrupted():
                if judging.kept():
                    progress.made, progress.left, progress.solved = plan.made, plan.most_left, plan.solved
                taken = plan.take(engine.room)
                if taken:
                    begin("reading prompts")
                    coming = [prepared.request(*key) for key in plan.coming(AHEAD)]
                    engine.submit([prepared.request(problem.id, attempt) for problem, attempt in taken], coming)
                    if not progress.tokens:
                        begin("writing the first tokens")
                progress.started += len(taken)
                ended = engine.poll()
                in_flight += len(taken) - len(ended)
                for finished in ended:
                    judging.submit(to_trace(finished, prepared, plan.problems[finished.key[0]].kind))
                if not in_flight and judging:
                    judging.wait()
                _note(progress, engine, ended)
                progress.waiting = max(0, progress.left - in_flight - len(judging))
                tell(progress)
                if not in_flight and not judging:
                    break
            judging.finish()  # if it was interrupted: what has ended is judged and kept
        finally:
            engine.close()
        if interrupted():
            return False
        judging.refuse_unjudged()
        return True


def _note(progress: Progress, engine: Engine, ended: list[Finished]) -> None:
    """What the engine has done since."""
    load = engine.load()
    progress.doing = ""
    progress.tokens, progress.prompts, progress.flying = load.tokens, load.prompts, load.flying
    progress.ended = [InFlight(one.key, one.columns["token_ids"], one.columns["source"]) for one in ended]
    progress.written = sum(len(one.token_ids) for one in progress.flying)
    progress.lengths += [len(one.token_ids) for one in progress.ended]
    progress.teacher_tokens += sum(one.by(TEACHER) for one in progress.ended)
    progress.student_tokens += sum(one.by(STUDENT) for one in progress.ended)


def make_plan(prepared: Prepared[Any], done: dict[str, dict[int, str]]) -> Plan:
    """The attempts that are owed, given the verdicts of those that are stored."""
    return Plan(prepared.problems, done, prepared.owed)


def _endpoint(prepared: Prepared[Any]) -> EndpointJudge | None:
    checking = prepared.config.checking
    if checking.judge_url is None or checking.judge_model is None:
        return None
    return EndpointJudge(checking.judge_url, checking.judge_model, prepared.config.run / "judge.jsonl")


def to_trace(finished: Finished, prepared: Prepared[Any], kind: str) -> Trace:
    """The record of an attempt at a problem of a kind, not yet judged."""
    problem_id, attempt = finished.key
    tokenizer = prepared.job.writer.student.tokenizer
    columns: dict[str, Any] = finished.columns
    text = decode(tokenizer, columns["token_ids"], prepared.config.prompting.think)
    thinking, answer_text = split_thinking(text, closing=prepared.style.closing)
    found = kind_of(kind).find(answer_text, prepared.config.checking.answer_from)
    return Trace(
        problem_id=problem_id,
        attempt=attempt,
        prompt_ids=np.asarray(prepared.prompts[problem_id][1]),
        **columns,
        finish_reason=finished.finish_reason,
        thinking=thinking,
        answer_text=answer_text,
        answer=found.answer if found else "",
        found_by=found.rule if found else "",
        privileged=shown_at(attempt),
        seconds=finished.seconds,
    )
