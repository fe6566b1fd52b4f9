"""Trace sets by one string: a run directory, files, a folder of files, or a data set of the Hub."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ownwords.problems.hub_data import hub_rows
from ownwords.problems.readers import READERS, read_rows
from ownwords.suitability.shapes import IdTrace, Row, Shape, TextTrace, Where, shape_of
from ownwords.traces.cells import clean
from ownwords.traces.store import Store, is_run

KINDS = {".jsonl": "JSONL", ".ndjson": "JSONL", ".parquet": "Parquet"}
"""of the files in a folder; other kinds lie there for other reasons"""


@dataclass(frozen=True)
class Member:
    """A trace in its set."""

    problem_id: str
    """content hash of the problem, the same in every set that has it"""
    attempt: int
    """which one of the set's traces of this problem"""
    place: str
    """for messages"""
    trace: TextTrace | IdTrace


def members(spec: str, as_text: bool = False) -> Iterator[Member]:
    """The traces of a set, in its order; run directories give ids, or with `as_text` what they say.

    `spec`: a run directory, a .jsonl, .json, .csv, .tsv or .parquet file, a folder of .jsonl or of .parquet files, a
    folder that `datasets` saved, or `hf:NAME,split=train,config=CONFIG` (also a folder, read by `datasets`).
    Raises ValueError in one line for what cannot be read, naming the row and the field.
    """
    if is_run(Path(spec)):
        yield from _run(Path(spec), as_text)
        return
    attempts: Counter[str] = Counter()
    shape: Shape | None = None
    for where, row in _rows(spec):
        shape = shape or shape_of(where, row)
        for trace in shape.traces(where, row):
            problem_id = _problem_id(trace)
            yield Member(problem_id, attempts[problem_id], where.place, trace)
            attempts[problem_id] += 1
    if not attempts:
        raise ValueError(f"{spec} holds no traces")


def _problem_id(trace: TextTrace | IdTrace) -> str:
    if isinstance(trace, IdTrace):
        return trace.problem_id or hashlib.sha256(trace.tokens.prompt_ids.tobytes()).hexdigest()[:16]
    return hashlib.sha256(clean(trace.question).encode()).hexdigest()[:16]  # as `Problem.id`


def _run(run_dir: Path, as_text: bool) -> Iterator[Member]:
    with Store.read(run_dir) as store:
        problems = store.problems()
        system = store.config["system"]
        for trace in store.traces():
            place = f"{run_dir}, problem {trace.problem_id}, attempt {trace.attempt}"
            common = {"source": run_dir.name, "verdict": trace.verdict}
            if as_text:
                prompt = [{"role": "system", "content": system}] if system else []
                prompt.append({"role": "user", "content": problems[trace.problem_id].question})
                thinking = trace.thinking.removeprefix(store.config["think"][0]) or None
                ended = trace.finish_reason == "stop"
                given: TextTrace | IdTrace = TextTrace(prompt, thinking, trace.answer_text, ended=ended, **common)
            else:
                given = IdTrace(trace, problem_id=trace.problem_id, **common)
            yield Member(trace.problem_id, trace.attempt, place, given)


def _rows(spec: str) -> Iterator[tuple[Where, Row]]:
    path = Path(spec)
    if spec.startswith("hf:"):
        yield from _hub(spec[3:])
    elif path.is_file() and path.suffix.lower() in READERS:
        yield from _file(path)
    elif (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        yield from _hub(spec)
    elif path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in KINDS)
        if len({KINDS[file.suffix] for file in files}) != 1:
            seen = ", ".join(file.name for file in files[:4]) or "no .jsonl or .parquet file and no traces.sqlite"
            raise ValueError(
                f"{spec} holds {seen}: expected a run directory, files of one kind, or the name of one file"
            )
        for file in files:
            yield from _file(file)
    else:
        seen = "is a file of another kind" if path.exists() else "does not exist"
        raise ValueError(
            f"{spec} {seen}: expected a run directory, a {', '.join(READERS)} file, a folder of .jsonl or "
            ".parquet files, or hf:NAME,split=train for a data set of the Hub"
        )


def _file(path: Path) -> Iterator[tuple[Where, Row]]:
    for where, row in read_rows(path):
        if isinstance(row, str):  # why there is none
            raise ValueError(f"{where}: {row}")
        yield Where(where, path.stem), row


def _hub(spec: str) -> Iterator[tuple[Where, Row]]:
    name, rows = hub_rows(spec)
    for where, row in rows:
        assert isinstance(row, dict)
        yield Where(where, name.rstrip("/").rpartition("/")[2]), row
