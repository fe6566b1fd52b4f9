"""A run as files that others read: three tables, each as Parquet and as JSONL.

* `problems`: one row per problem, under the column names of the public reasoning sets (OpenR1-Math and its kin);
* `tokens`: one row per attempt, with every per-token column, and why it was not selected;
* `sft`: the selected traces as `input_ids`, `labels` and `completion_mask`, for TRL's `SFTTrainer` as they are: no
  template and no second tokenisation stands between decoding and training. Prompt and forced tokens carry no loss.

Beside them, where asked for, the soft targets of the selected traces: see `ownwords.traces.distill`.

Numbers that are not finite (a token that the teacher cannot say has log-probability -inf) stay as they are in Parquet;
strict JSON has none, so they are null in JSONL. Text: a lone surrogate becomes U+FFFD.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ownwords.io.files import plain_errors, replacing
from ownwords.io.paths import check_folder, held
from ownwords.records.problem import Problem
from ownwords.records.tokens import Tokens
from ownwords.records.trace import Trace
from ownwords.traces.cells import ARRAYS, clean
from ownwords.traces.distill import IGNORED, Layout, distillkit_config, soft_table
from ownwords.traces.select import PICKED_BECAUSE, Selection, length_order, reasons, select
from ownwords.traces.store import Store

ROWS, BYTES = 1000, 64 * 2**20
"""a Parquet row group is written at so many rows, or at so many bytes of JSON: what is held in memory at most"""

SOFT_FILES: dict[Layout, list[str]] = {
    "union": ["soft_union.parquet"],
    "trl": ["soft_trl.parquet"],
    "axolotl": ["soft_axolotl.parquet"],
    "distillkit": ["soft_distillkit.parquet", "soft_distillkit.yaml"],
}
_TEXT, _INT = pa.string(), pa.int32()
_MESSAGE = pa.struct([("role", _TEXT), ("content", _TEXT)])
SCHEMAS = {
    "problems": pa.schema(
        [(name, _TEXT) for name in ("problem", "answer", "solution", "source", "uuid")]
        + [("generations", pa.list_(_TEXT)), ("finish_reasons", pa.list_(_TEXT))]
        + [("correctness_math_verify", pa.list_(pa.bool_())), ("messages", pa.list_(_MESSAGE))]
    ),
    "tokens": pa.schema(
        [("problem_id", _TEXT), ("attempt", _INT)]
        + [(name, pa.list_(pa.from_numpy_dtype(dtype))) for name, dtype in ARRAYS.items()]
        + [(name, _TEXT) for name in ("finish_reason", "verdict", "judged_by", "answer", "found_by", "privileged")]
        + [("selected", pa.bool_())]
        + [("not_selected_because", _TEXT), ("fallback_rate", pa.float64())]
    ),
    "sft": pa.schema(
        [("problem_id", _TEXT), ("attempt", _INT), ("input_ids", pa.list_(_INT)), ("labels", pa.list_(_INT))]
        + [("completion_mask", pa.list_(pa.uint8()))]
    ),
}


def export(
    store: Store,
    out_dir: Path,
    selection: Selection,
    decode: Callable[[list[int]], str],
    closing_id: int | None,
    overwrite: bool = False,
    layouts: Sequence[Layout] = (),
    vocabulary: int = 0,
) -> dict[str, Path]:
    """Write all tables; file name -> path. The files appear whole and together, or stay as they were.

    `decode` turns the token ids of a completion into the text that people read: think tags kept, the end-of-turn token
    dropped. `closing_id`: the student's closing think tag, None if it has none. `layouts`: of soft targets, for a
    student with `vocabulary` ids. A table without rows is a valid file, but one that `datasets` refuses to load.

    Raises ValueError if a file exists and `overwrite` is not set, or if the run has no soft targets for the `layouts`;
    DiskFull if there is no room.
    """
    out_dir = Path(out_dir)
    check_folder(out_dir)
    k = _check_soft(store, layouts) if layouts else 0
    names = [f"{name}.{kind}" for name in SCHEMAS for kind in ("parquet", "jsonl")]
    names += [name for layout in layouts for name in SOFT_FILES[layout]]
    others = [name for layout, files in SOFT_FILES.items() if layout not in layouts for name in files]
    existing = held(out_dir, names + others)
    if existing and not overwrite:
        raise ValueError(f"{out_dir} holds {', '.join(existing)} already: name another directory, or set overwrite")

    problems = store.problems()
    with plain_errors(out_dir), replacing([out_dir / name for name in names]) as files, ExitStack() as tables:
        file = dict(zip(names, files, strict=True))
        write = {
            name: tables.enter_context(table(SCHEMAS[name], file[f"{name}.parquet"], file[f"{name}.jsonl"]))
            for name in SCHEMAS
        }
        write_soft = [
            tables.enter_context(soft_table(file[f"soft_{layout}.parquet"], layout, vocabulary)) for layout in layouts
        ]
        if "distillkit" in layouts:
            file["soft_distillkit.yaml"].write(distillkit_config(k, vocabulary).encode())
        for problem_id, group in groupby(store.traces(soft=bool(layouts)), key=lambda trace: trace.problem_id):
            attempts = list(group)
            chosen = select(attempts, selection, closing_id)
            write["problems"](problem_row(problems[problem_id], attempts, chosen, decode))
            for trace in attempts:
                write["tokens"](token_row(trace, _why_not(trace, chosen, selection, closing_id)))
            for trace in chosen:
                write["sft"](sft_row(trace))
                for write_one in write_soft:
                    write_one(trace)
    for name in others:  # of the export that has been replaced: they would not belong to this one's traces
        (out_dir / name).unlink(missing_ok=True)
    return {name: out_dir / name for name in names}


def _check_soft(store: Store, layouts: Sequence[Layout]) -> int:
    """k of the run's soft targets."""
    if store.soft_targets is None:
        raise ValueError(
            f"{store.run_dir} holds no soft targets: they are kept while traces are made, by "
            "ownwords generate --soft-targets 8"
        )
    of_teacher = [layout for layout in layouts if layout != "union"]
    if of_teacher and store.config["teacher"] == "none":
        raise ValueError(f"{store.run_dir} has no teacher, whose soft targets {of_teacher[0]} reads: expected union")
    return store.soft_targets


def problem_row(
    problem: Problem, attempts: list[Trace], chosen: list[Trace], decode: Callable[[list[int]], str]
) -> dict[str, Any]:
    """One problem with all its generations; `messages` shows the shortest chosen one and is empty if none is."""
    generations = {trace.attempt: clean(decode(trace.token_ids.tolist())) for trace in attempts}
    messages = []
    if chosen:
        said = generations[min(chosen, key=length_order).attempt]
        messages = [{"role": "user", "content": problem.question}, {"role": "assistant", "content": said}]
    return {
        "problem": problem.question,
        "answer": problem.answer,
        "solution": problem.solution,
        "source": problem.source,
        "uuid": problem.id,
        "generations": [*generations.values()],
        "finish_reasons": [trace.finish_reason for trace in attempts],
        # the name that public sets use, whichever checker the problem's kind asks for
        "correctness_math_verify": [trace.verdict == "correct" for trace in attempts],
        "messages": messages,
    }


def token_row(trace: Trace, why_not: str) -> dict[str, Any]:
    """One attempt with its per-token columns; `why_not` is empty for a selected one."""
    return {
        "problem_id": trace.problem_id,
        "attempt": trace.attempt,
        **{name: trace.column(name) for name in ARRAYS},
        "finish_reason": trace.finish_reason,
        "verdict": trace.verdict,
        "judged_by": trace.judged_by,
        "answer": trace.answer,
        "found_by": trace.found_by,
        "privileged": trace.privileged,
        "selected": not why_not,
        "not_selected_because": why_not,
        "fallback_rate": trace.fallback_rate,
    }


def sft_row(trace: Trace) -> dict[str, Any]:
    """One trace to train on: the loss is on the completion without its forced tokens."""
    return {"problem_id": trace.problem_id, "attempt": trace.attempt, **to_learn(trace)}


def to_learn(tokens: Tokens) -> dict[str, np.ndarray]:
    """What a trainer reads of a trace."""
    learned = np.concatenate([np.zeros(len(tokens.prompt_ids), bool), tokens.free])
    input_ids = tokens.ids
    return {
        "input_ids": input_ids,
        "labels": np.where(learned, input_ids, np.int32(IGNORED)),
        "completion_mask": learned.astype(np.uint8),
    }


def _why_not(trace: Trace, chosen: list[Trace], selection: Selection, closing_id: int | None) -> str:
    if trace.attempt in [one.attempt for one in chosen]:
        return ""
    return (
        "; ".join(reasons(trace, selection, closing_id))
        or f"attempt {chosen[0].attempt} {PICKED_BECAUSE[selection.pick]}"
    )


@contextmanager
def table(schema: pa.Schema, parquet: IO[bytes], jsonl: IO[bytes]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes the rows of one table and writes them to both files."""
    rows: list[dict[str, Any]] = []
    size = 0

    def flush() -> None:
        nonlocal size
        groups.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
        rows.clear()
        size = 0

    def write(row: dict[str, Any]) -> None:
        nonlocal size
        size += jsonl.write(_json_line(row))
        rows.append(row)
        if len(rows) == ROWS or size >= BYTES:
            flush()

    with pq.ParquetWriter(parquet, schema) as groups:
        yield write
        if rows:
            flush()


def _json_line(row: dict[str, Any]) -> bytes:
    strict = {name: _strict(value) if isinstance(value, np.ndarray) else value for name, value in row.items()}
    return (json.dumps(strict, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _strict(column: np.ndarray) -> list[Any]:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return column.tolist()
    return [value if math.isfinite(value) else None for value in column.tolist()]
