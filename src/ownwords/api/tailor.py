"""`ownwords.generate`: tailored traces as a `Run`, which is a folder and shows itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from ownwords.api.bars import Tell, bar
from ownwords.api.frames import frame
from ownwords.api.inputs import Model, Problems, configured, to_folder, to_model, to_problems
from ownwords.api.notebook import LEGEND, coloured, facts, text
from ownwords.generation.config import ALONE, GenerateConfig
from ownwords.generation.prepare import prepare
from ownwords.generation.progress import Progress
from ownwords.generation.run import generate as generate_run
from ownwords.models.load import Loaded, load_tokenizer
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.rsd.gates import Gate
from ownwords.traces.spans import spans
from ownwords.traces.store import Store
from ownwords.traces.summary import Summary, described, summarise

if TYPE_CHECKING:
    import pandas

Decode = Callable[[Sequence[int]], str]
SCHEMA = pa.schema(
    [("problem_id", pa.string()), ("attempt", pa.int32()), ("question", pa.string()), ("reference", pa.string())]
    + [("answer", pa.string()), ("verdict", pa.string()), ("finish_reason", pa.string()), ("tokens", pa.int32())]
    + [("fallback_rate", pa.float64()), ("thinking", pa.string()), ("answer_text", pa.string())]
    + [("seconds", pa.float64())]
)
"""a row per attempt; `reference` is the problem's own answer, `fallback_rate` the student's share of the tokens"""


def generate(
    teacher: Model | None,
    student: Model,
    problems: Problems,
    gate: str | Gate | None = None,
    *,
    run: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Run:
    """Make tailored traces: the teacher proposes each token, the student accepts it or writes its own.

    Args:
        teacher: a folder, a hub name, `world`, or (model, tokenizer) as `transformers` loads them; None for the gate
            `never`, with nobody's opinion of what the student writes.
        student: likewise.
        problems: a file or a spec, as `world:size=20`; or rows of questions and answers: a list of dictionaries, a
            `datasets.Dataset`, a pandas frame. Column names are guessed as for files.
        gate: what the student lets through, as `threshold:0.01`, which is also what the default preset has.
        run: the run directory; one that is there is gone on with. None makes runs/generate-1, or the next number.
        progress: show a bar; None does so in a notebook only.
        options: the options of `ownwords generate` by their names, as `attempts=4` or
            `teacher_sampling={"temperature": 0.7}`.

    Raises ValueError, in one line that names the parameter, for whatever would stop the run; KeyboardInterrupt if it
    was interrupted: what had ended is kept, and the same call goes on.
    """
    given = {"teacher": to_model(ALONE if teacher is None else teacher, "teacher")}
    given["student"] = to_model(student, "student")
    rows = {
        name: options[name] for name in ("limit", "question_field", "answer_field", "skip_bad_rows") if name in options
    }
    spec, known = to_problems(problems, "problems", **rows)
    config = configured(
        GenerateConfig,
        run=to_folder(run, "generate"),
        problems=spec,
        gate=None if gate is None else str(gate),
        **{role: one.name for role, one in given.items()},
        **options,
    )
    loaded = {role: one.loaded for role, one in given.items() if one.loaded}
    with bar(progress, "generate", "attempts") as tell:
        complete = generate_run(prepare(config, known, loaded), told(tell))
    if not complete:
        raise KeyboardInterrupt(f"what had ended is kept in {config.run}: the same call with run= goes on")
    return Run(config.run, given["student"].loaded)


def told(tell: Tell) -> Callable[[Progress], None]:
    """What a bar is told of a run's progress."""

    def say(state: Progress) -> None:
        said = state.doing or f"{state.tokens:,} tokens, {state.solved}/{state.problems} solved"
        tell(state.made, state.made + state.left, said)

    return say


@dataclass(repr=False)
class RunTrace(Trace):
    """A trace with its problem, that shows itself."""

    problem: Problem = field(kw_only=True)
    decode: Decode = field(kw_only=True)
    """the student's ids to text, special tokens kept"""

    def __repr__(self) -> str:
        return (
            f"<trace of problem {self.problem_id}, attempt {self.attempt}: {self.verdict}, {len(self.token_ids)} "
            f"tokens, {self.fallback_rate:.0%} by the student>"
        )

    def _repr_html_(self) -> str:
        head = f"<div><b>{text(self.problem.question)}</b></div>"
        found = f"<div>{text(f'{self.verdict}: {self.answer or None}, expected {self.problem.answer}')}</div>"
        pieces = ((span.text, int(self.column("source")[span.start])) for span in spans(self, self.decode))
        return head + coloured(pieces) + found + LEGEND


class Run(os.PathLike[str]):
    """A run directory, finished or not: traces, their problems and what they were made with.

    `len(run)` is the number of attempts. Wherever a folder is asked for, a run may be given.
    """

    def __init__(self, path: str | os.PathLike[str], student: Loaded | None = None) -> None:
        """`student`: the model that it was made with, if that is in memory.

        Raises ValueError if there is no run directory.
        """
        self.path = Path(path)
        self.student = student
        with Store.read(self.path) as store:
            self.config: dict[str, Any] = store.config

    def __fspath__(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        with Store.read(self.path) as store:
            return len(store)

    def __bool__(self) -> bool:
        """A run without attempts is a run."""
        return True

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The student's."""
        return self.student.tokenizer if self.student else load_tokenizer(self.config["student"], "student")

    def decode(self, ids: Sequence[int]) -> str:
        """The student's ids to text, special tokens kept."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def problems(self) -> dict[str, Problem]:
        """problem id -> problem, of all that have an attempt."""
        with Store.read(self.path) as store:
            return store.problems()

    def traces(self, problem_id: str | None = None) -> Iterator[RunTrace]:
        """All attempts, or those at one problem, one at a time, in the order of (problem id, attempt)."""
        with Store.read(self.path) as store:
            problems = store.problems()
            for trace in store.traces(problem_id):
                given = {one.name: getattr(trace, one.name) for one in fields(Trace)}
                yield RunTrace(**given, problem=problems[trace.problem_id], decode=self.decode)

    def summary(self) -> Summary:
        """Figures over all attempts: `.verified`, `.acceptance`, `.mean_surprisal`, ..."""
        with Store.read(self.path) as store:
            return summarise(store.traces())

    def arrow(self) -> pa.Table:
        """A row per attempt, with its texts; the columns are those of `ownwords.api.tailor.SCHEMA`."""
        return pa.Table.from_pylist([_row(trace) for trace in self.traces()], SCHEMA)

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    def __repr__(self) -> str:
        summary = self.summary()
        correct = summary.verdicts.get("correct", 0)
        return f"<run {self.path}: {summary.attempts} attempts at {summary.problems} problems, {correct} correct>"

    def _repr_html_(self) -> str:
        shown = facts(str(self.path), described(self.summary()))
        first = min(self.traces(), key=lambda trace: trace.verdict != "correct", default=None)
        return shown + (first._repr_html_() if first else "")


def _row(trace: RunTrace) -> dict[str, Any]:
    return {
        **{name: getattr(trace, name) for name in SCHEMA.names if hasattr(trace, name)},
        "question": trace.problem.question,
        "reference": trace.problem.answer,
        "tokens": len(trace.token_ids),
    }
