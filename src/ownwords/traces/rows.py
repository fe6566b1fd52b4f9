"""How the records lie in SQLite: the tables, and a field of a `Trace` as a cell and back.

Arrays are little-endian bytes of the types of `COLUMNS`. Text: a lone surrogate, which UTF-8 cannot hold, becomes
U+FFFD; anything else, NUL included, stays as it is.
"""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from typing import Any

import numpy as np

from ownwords.rsd.columns import COLUMNS
from ownwords.traces.trace import Trace

LAYOUT = 1
"""of the tables below, as the database's `user_version`; another one is refused, since columns would be missing"""
SCHEMA = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE run (
    config TEXT NOT NULL, identity TEXT NOT NULL, digest TEXT NOT NULL, versions TEXT NOT NULL
);
CREATE TABLE problems (
    id TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,
    solution TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE traces (
    problem_id TEXT NOT NULL REFERENCES problems (id), attempt INTEGER NOT NULL, digest TEXT NOT NULL,
    finish_reason TEXT NOT NULL, verdict TEXT NOT NULL, judged_by TEXT NOT NULL, seconds REAL NOT NULL,
    found_by TEXT NOT NULL, privileged TEXT NOT NULL, answer TEXT NOT NULL,
    answer_text TEXT NOT NULL, thinking TEXT NOT NULL, prompt_ids BLOB NOT NULL, token_ids BLOB NOT NULL,
    source BLOB NOT NULL, teacher_logprob BLOB NOT NULL, student_logprob BLOB NOT NULL, student_rank BLOB NOT NULL,
    pass_mass BLOB NOT NULL, refused_id BLOB NOT NULL, refused_prob BLOB NOT NULL,
    UNIQUE (problem_id, attempt, digest)
);
"""
# the short columns stand first: SQLite reads a row from its start, and the long ones fill many pages
ARRAYS = {"prompt_ids": np.dtype(np.int32), **COLUMNS}
TRACE = [field.name for field in fields(Trace)]


def clean(text: str) -> str:
    """`text` as UTF-8 can hold it: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Add one row, column name -> cell, within the transaction of the caller."""
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


def to_cell(name: str, value: Any) -> Any:
    """A field of a trace as SQLite stores it: arrays as little-endian bytes, numpy's scalars as Python's."""
    if name in ARRAYS:
        return value.astype(ARRAYS[name].newbyteorder("<")).tobytes()
    if isinstance(value, str):
        return clean(value)
    return float(value) if name == "seconds" else int(value)


def from_cells(row: tuple[Any, ...]) -> Trace:
    """The trace of one row with the columns `TRACE`."""
    cells = dict(zip(TRACE, row, strict=True))
    for name, dtype in ARRAYS.items():
        cells[name] = np.frombuffer(cells[name], dtype=dtype.newbyteorder("<")).astype(dtype)
    return Trace(**cells)
