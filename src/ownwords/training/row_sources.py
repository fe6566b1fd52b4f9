"""Where training rows come from: a run directory, the folder of an export, or a file with `input_ids` and `labels`.

A run is selected from here, by the rule of `ownwords.traces.select`; files are taken as they are. A file may hold more
list columns as long as `input_ids`: these are per-token figures too. Those of an export lie in `tokens.parquet`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from ownwords.chat.settings import stored_variables
from ownwords.chat.templates import Chat
from ownwords.records.trace import Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.traces.export import IGNORED, sft_row
from ownwords.traces.select import Selection, select
from ownwords.traces.store import Store
from ownwords.training.rows import Row

FIGURES = [name for name in COLUMNS if name not in ("token_ids", "refused_id")]
"""the per-token columns of a trace that are figures and no ids"""
EXPECTED = "expected a run directory, the folder of an export, or a .parquet or .jsonl file with input_ids and labels"


def run_rows(run: Path, selection: Selection, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The selected traces of a run directory. `tokenizer`: the student's."""
    with Store.read(run) as store:
        system, opening, think = (store.config[name] for name in ("system", "opening", "think"))
        chat = Chat(tokenizer, "student", tuple(think), stored_variables(store.config))
        closing_id = tokenizer.get_vocab().get(think[1])
        questions = {i: problem.question for i, problem in store.problems().items()}
        chosen = select(store.traces(), selection.for_gate(store.config["gate"]), closing_id)
        if not chosen:
            raise ValueError(
                f"{run} has {len(store)} attempts, none of which is selected: expected correct, ended ones; "
                "generate more, or loosen --incorrect or --max-fallback"
            )

        def ask(question: str, template: str) -> list[int]:
            return chat.ids(chat.ask(template.replace("{question}", question), system), keep_opening=opening == "")

        return [replace(trace_row(trace), ask=partial(ask, questions[trace.problem_id])) for trace in chosen]


def trace_row(trace: Trace) -> Row:
    """A trace as `ownwords export` writes it, with its figures beside it."""
    row, start = sft_row(trace), len(trace.prompt_ids)
    columns = {name: _padded(trace.column(name), start) for name in FIGURES}
    return Row(trace.problem_id, trace.attempt, row["input_ids"], row["labels"], start, columns)


def file_rows(path: Path) -> list[Row]:
    """The rows of an export's folder or of a single file. Raises ValueError naming the file and what it lacks."""
    if path.is_dir():
        if not (path / "sft.parquet").is_file():
            raise ValueError(f"{path} holds neither traces.sqlite nor sft.parquet: {EXPECTED}")
        return _with_figures(file_rows(path / "sft.parquet"), path / "tokens.parquet")
    rows = [_file_row(f"{path}, row {number}", row, number) for number, row in enumerate(_cells(path))]
    if not rows:
        raise ValueError(f"{path} has no rows: expected at least one trace; was anything selected at the export?")
    return rows


def _file_row(where: str, row: dict[str, Any], number: int) -> Row:
    if missing := [name for name in ("input_ids", "labels") if name not in row]:
        raise ValueError(f"{where} has no column {missing[0]} (its columns: {', '.join(list(row)[:12])}): {EXPECTED}")
    arrays = {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
    lengths = {name: len(arrays[name]) if name in arrays else None for name in ("input_ids", "labels")}
    if lengths["input_ids"] is None or lengths["input_ids"] != lengths["labels"] or not lengths["input_ids"]:
        raise ValueError(
            f"{where}: {lengths['input_ids']} input_ids and {lengths['labels']} labels, expected two equal lists"
        )
    if any(arrays[name].dtype.kind not in "iu" for name in lengths):
        raise ValueError(f"{where}: input_ids or labels that are no whole numbers, expected token ids")
    ids, labels = (arrays.pop(name).astype(np.int32) for name in lengths)
    learned = np.flatnonzero(labels != IGNORED)
    start = int(learned[0]) if len(learned) else len(ids)
    # a set without problem ids: equal prompts are one problem
    problem_id = row.get("problem_id") or hashlib.sha256(ids[:start].tobytes()).hexdigest()[:16]
    columns = {name: a.astype(np.float32) for name, a in arrays.items() if len(a) == len(ids) and a.dtype.kind in "iuf"}
    attempt = number if row.get("attempt") is None else int(row["attempt"])
    return Row(problem_id, attempt, ids, labels, start, columns)


def _with_figures(rows: list[Row], tokens: Path) -> list[Row]:
    """The rows of an export's `sft` table with the columns of its `tokens` table."""
    if not tokens.is_file():
        return rows
    wanted = {(row.problem_id, row.attempt): row for row in rows}
    for figures in _cells(tokens, ["problem_id", "attempt", "prompt_ids", *FIGURES]):
        row = wanted.get((figures["problem_id"], figures["attempt"]))
        if row is not None:
            start = len(figures["prompt_ids"])
            columns = {name: _padded(figures[name], start) for name in FIGURES}
            if len(columns["source"]) != len(row.input_ids):
                raise ValueError(f"{tokens} and sft.parquet beside it are of different exports: export again")
            row.columns.update(columns)
    return rows


def _padded(figures: np.ndarray, start: int) -> np.ndarray:
    return np.concatenate([np.full(start, np.nan, np.float32), np.asarray(figures, np.float32)])


def _cells(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a file, lists of numbers as numpy arrays. `columns`: read no others, where the format allows it."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file or directory, {EXPECTED}")
    if path.suffix == ".parquet":
        return _parquet_cells(path, columns)
    if path.suffix == ".jsonl":
        return _json_cells(path)
    raise ValueError(f"{path} is a file of another kind: {EXPECTED}")


def _parquet_cells(path: Path, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path.absolute()) as file:
            for batch in file.iter_batches(batch_size=256, columns=columns):
                numbers = [_is_list_of_numbers(column.type) for column in batch.columns]
                for cells in zip(*batch.columns):
                    yield {
                        name: _array(cell) if is_array else cell.as_py()
                        for name, cell, is_array in zip(batch.schema.names, cells, numbers)
                    }
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())[:200]}; {EXPECTED}") from error


def _json_cells(path: Path) -> Iterator[dict[str, Any]]:
    """By the standard library: pyarrow's reader shifts the values of lists that hold nulls."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not JSON ({error}), expected one object per line") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: a JSON {type(row).__name__}, expected an object")
            yield {name: _numbers(value) if isinstance(value, list) else value for name, value in row.items()}


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)


def _array(cell: pa.ListScalar) -> np.ndarray | None:
    return None if cell.values is None else cell.values.to_numpy(zero_copy_only=False)


def _numbers(values: list[Any]) -> np.ndarray | list[Any]:
    """Integers or floats, null as NaN; a list of anything else stays one."""
    kinds = {type(value) for value in values}
    if not kinds <= {int, float, type(None)}:
        return values
    try:
        return np.array(values, np.int64 if kinds == {int} else np.float64)
    except OverflowError:
        return values
