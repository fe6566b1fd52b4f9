"""`ownwords.score` and `ownwords.select`: how well traces suit a student, and which to train on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ownwords.api.bars import bar
from ownwords.api.frames import frame
from ownwords.api.inputs import Model, as_rows, to_folder, to_model
from ownwords.api.notebook import facts, table
from ownwords.io.files import folder, write_file
from ownwords.io.process import versions
from ownwords.records.trace import Trace
from ownwords.suitability.choose import Rule
from ownwords.suitability.choose import select as choose
from ownwords.suitability.scoring import score as score_set
from ownwords.suitability.stored import Scores as Stored
from ownwords.suitability.survey import ScoreConfig
from ownwords.traces.export import sft_row

if TYPE_CHECKING:
    import pandas

PACKAGES = ("ownwords", "torch", "transformers", "tokenizers")
"""those whose versions scores keep"""


def score(
    traces: str | os.PathLike[str] | Iterable[Trace | Mapping[str, Any]],
    student: Model,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Scores:
    """Tell how well a set of traces suits a student, trace by trace and token by token, before anything is trained.

    Args:
        traces: a run; a file or folder of traces, or `hf:NAME,split=train`; or traces in memory: those of a run, or
            rows with messages, prompt and completion, or input_ids and labels. What is in memory is written to a file
            beside `out`, since the set is read more than once.
        student: a folder, a hub name, `world`, or (model, tokenizer) as `transformers` loads them.
        out: the scores directory; an unfinished one goes on. None makes runs/score-1, or the next number.
        progress: show a bar; None does so in a notebook only.
        options: the options of `ownwords score` by their names, as `sample=200`.

    Raises ValueError, in one line that names the parameter, for what cannot be scored.
    """
    given = to_model(student, "student")
    path = to_folder(out, "score")
    spec = os.fspath(traces) if isinstance(traces, str | os.PathLike) else str(_written(traces, path))
    if unknown := sorted(options.keys() - ScoreConfig.__dataclass_fields__.keys()):
        raise ValueError(f"{unknown[0]} is no option of score")
    config = ScoreConfig(traces=spec, student=given.name, out=path, **options)
    if given.loaded and config.workers > 1:
        raise ValueError(f"workers is {config.workers} with a student in memory: expected 1, or the student's folder")
    with bar(progress, "score", "traces") as tell:
        done = [0, 0]

        def plan(number: int, before: int) -> None:
            done[:] = [before, number]

        def say(more: int, tokens: int) -> None:
            done[0] += more
            tell(done[0], done[1], "")

        score_set(config, versions(*PACKAGES), say, plan, student=given.loaded)
    return Scores(path)


def _written(traces: Iterable[Any], out: Path) -> Path:
    """Traces in memory as a file beside the scores. Raises ValueError if it holds others already."""
    rows = [_trace_row(one) if isinstance(one, Trace) else one for one in traces]
    lines = [json.dumps(dict(row)) for _, row in as_rows(rows, "traces") if isinstance(row, Mapping)]
    if not lines:
        raise ValueError("traces is empty: expected one at least")
    path, content = out.with_name(f"{out.name}.jsonl"), "".join(f"{line}\n" for line in lines)
    if path.exists() and path.read_text() != content:
        raise ValueError(f"out is {out}, and {path} holds other traces than these: name another folder")
    with folder(path.parent):
        write_file(path, content)
    return path


def _trace_row(trace: Trace) -> dict[str, Any]:
    row = {**sft_row(trace), "correct": {"correct": True, "incorrect": False}.get(trace.verdict)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}


def select(
    scores: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Selected:
    """Choose traces to train on by what the student thinks of them; every trace is told why it is taken or not.

    Args:
        scores: what `score` gave, or several of one student.
        out: the folder to write to. None makes runs/select-1, or the next number.
        overwrite: replace an earlier selection.
        options: `by`, `per_problem`, `share`, `count`, `correct`, `balance`, `seed`, as of `ownwords select`.

    Raises ValueError if nothing is chosen, or the scores are of different students.
    """
    if unknown := sorted(options.keys() - Rule.__dataclass_fields__.keys()):
        raise ValueError(f"{unknown[0]} is no option of select, expected {', '.join(Rule.__dataclass_fields__)}")
    sets = [scores] if isinstance(scores, str | os.PathLike) else list(scores)
    path = to_folder(out, "select")
    choose([Stored.read(Path(one)) for one in sets], Rule(**options), path, overwrite)
    return Selected(path)


class Scores(os.PathLike[str]):
    """A finished scores directory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ValueError if it is none, or not finished."""
        self.path = Path(path)
        self.stored = Stored.read(self.path)
        """`tokens()` has what the student thinks of each token"""
        self.config, self.summary = self.stored.config, self.stored.summary

    def __fspath__(self) -> str:
        return str(self.path)

    def arrow(self) -> pa.Table:
        """A row per trace: problem_id, attempt, source, verdict, and its scores."""
        return pq.read_table((self.path / "scores.parquet").absolute())

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    def __repr__(self) -> str:
        whole = self.summary["all"]
        said = f"rsr {whole['rsr']:.3f}, {whole['mean_surprisal']:.3f} nats per token" if whole else "none scored"
        return f"<scores {self.path}: {self.summary['traces']} traces, {said}>"

    def _repr_html_(self) -> str:
        sets = {"all": self.summary["all"], **self.summary["by_source"]} if self.summary["all"] else {}
        names = self.summary["all"] or {}
        rows = [(name, *(f"{figures[name]:.4g}" for figures in sets.values())) for name in names]
        return table(str(self.path), ("", *sets), rows)


class Selected(os.PathLike[str]):
    """A selection: a folder to train on."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ValueError if it is none."""
        self.path = Path(path)
        try:
            self.summary: dict[str, Any] = json.loads((self.path / "selection.json").read_text())
        except (OSError, ValueError):
            raise ValueError(f"{self.path} holds no selection: expected the out= of ownwords.select") from None

    def __fspath__(self) -> str:
        return str(self.path)

    def arrow(self) -> pa.Table:
        """A row per trace, taken or not, with the reason why."""
        return pq.read_table((self.path / "choices.parquet").absolute())

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    def __repr__(self) -> str:
        by = self.summary["rule"]["by"]
        return f"<selection {self.path}: {self.summary['chosen']} of {self.summary['traces']} traces by {by}>"

    def _repr_html_(self) -> str:
        shown = {"traces": f"{self.summary['traces']:,}", "chosen": f"{self.summary['chosen']:,}"}
        return facts(str(self.path), shown | {name: f"{value}" for name, value in self.summary["rule"].items()})
