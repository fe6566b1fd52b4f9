"""How the records lie in SQLite: the tables, and a field of a `Trace` as a cell and back.

Arrays are little-endian bytes of the types of `COLUMNS`. Text: a lone surrogate, which UTF-8 cannot hold, becomes
U+FFFD; anything else, NUL included, stays as it is. Every row has a checksum of its cells, since SQLite has none: with
a bit turned, a probability would be read as another one.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ownwords.records.trace import Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.traces.soft import pack, unpack

LAYOUT = 2
"""of the tables below, as the database's `user_version`; another one is refused, since columns would be missing"""
SCHEMA = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE run (
    checksum BLOB NOT NULL, config TEXT NOT NULL, identity TEXT NOT NULL, digest TEXT NOT NULL, versions TEXT NOT NULL
);
CREATE TABLE problems (
    checksum BLOB NOT NULL, id TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, kind TEXT NOT NULL,
    source TEXT NOT NULL, solution TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE traces (
    checksum BLOB NOT NULL, problem_id TEXT NOT NULL REFERENCES problems (id), attempt INTEGER NOT NULL,
    digest TEXT NOT NULL, finish_reason TEXT NOT NULL, verdict TEXT NOT NULL, judged_by TEXT NOT NULL,
    seconds REAL NOT NULL, found_by TEXT NOT NULL, privileged TEXT NOT NULL, answer TEXT NOT NULL,
    answer_text TEXT NOT NULL, thinking TEXT NOT NULL, prompt_ids BLOB NOT NULL, token_ids BLOB NOT NULL,
    source BLOB NOT NULL, teacher_logprob BLOB NOT NULL, student_logprob BLOB NOT NULL, student_rank BLOB NOT NULL,
    pass_mass BLOB NOT NULL, refused_id BLOB NOT NULL, refused_prob BLOB NOT NULL,
    UNIQUE (problem_id, attempt, digest)
);
"""
WITH_SOFT = "ALTER TABLE traces ADD COLUMN soft BLOB"
"""what a run with soft targets has beyond `SCHEMA`"""
# the short columns stand first: SQLite reads a row from its start, and the long ones fill many pages
ARRAYS = {"prompt_ids": np.dtype(np.int32), **COLUMNS}
TRACE = [
    "problem_id", "attempt", *ARRAYS, "finish_reason", "thinking", "answer_text", "answer", "found_by", "verdict",
    "judged_by", "privileged", "seconds",
]  # fmt: skip
"""the fields of a trace that a row has, but for `soft`"""
CELLS = {
    "run": ["config", "identity", "digest", "versions"],
    "problems": ["id", "question", "answer", "kind", "source", "solution", "metadata"],
    "traces": [*TRACE, "digest"],
}
"""table -> its columns in the order in which their checksum takes them"""


def clean(text: str) -> str:
    """`text` as UTF-8 can hold it: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def checksum(cells: Iterable[Any]) -> bytes:
    """8 bytes that change with any cell, with its type, and with where one ends."""
    digest = hashlib.blake2b(digest_size=8)
    for cell in cells:
        content = cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogatepass")
        digest.update(f"{type(cell).__name__} {len(content)} ".encode() + content)
    return digest.digest()


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    """Add one row, column name -> cell, within the transaction of the caller; its rowid."""
    row = {**row, "checksum": checksum(row[name] for name in CELLS[table])}
    cursor = db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
    return int(cursor.lastrowid or 0)


def selected(table: str, soft: bool = False) -> str:
    """The beginning of a query for whole rows, as `checked` takes them."""
    return f"SELECT checksum, {', '.join(CELLS[table] + ['soft'] * soft)} FROM {table}"


def checked(table: str, row: Sequence[Any]) -> dict[str, Any]:
    """Column name -> cell of a row of a `selected` query. Raises ValueError if it is not as it was written."""
    cells = dict(zip([*CELLS[table], "soft"], row[1:]))
    if checksum(cells[name] for name in CELLS[table]) != row[0]:
        raise ValueError(f"a row of the table {table} does not fit its checksum")
    if "soft" in cells:
        seen, cells["soft"] = cells["soft"][:8], cells["soft"][8:]
        if _soft_checksum(cells["problem_id"], cells["attempt"], cells["soft"]) != seen:
            raise ValueError(f"the soft targets of a row of the table {table} do not fit their checksum")
    return cells


def to_cells(trace: Trace) -> dict[str, Any]:
    """Column name -> cell of a trace, soft targets with their checksum first. Raises ValueError if a column of
    `ARRAYS` is not known."""
    cells = {name: to_cell(name, trace.column(name) if name in ARRAYS else getattr(trace, name)) for name in TRACE}
    if trace.soft is not None:
        packed = pack(trace.soft)
        cells["soft"] = _soft_checksum(cells["problem_id"], cells["attempt"], packed) + packed
    return cells


def to_cell(name: str, value: Any) -> Any:
    """A field of a trace as SQLite stores it: arrays as little-endian bytes, numpy's scalars as Python's."""
    if name in ARRAYS:
        return value.astype(ARRAYS[name].newbyteorder("<")).tobytes()
    if isinstance(value, str):
        return clean(value)
    return float(value) if name == "seconds" else int(value)


def _soft_checksum(problem_id: str, attempt: int, packed: bytes) -> bytes:
    return checksum([problem_id, attempt, packed])


def from_cells(cells: dict[str, Any]) -> Trace:
    """The trace of a row, column name -> cell."""
    given = {name: cells[name] for name in TRACE}
    for name, dtype in ARRAYS.items():
        given[name] = np.frombuffer(given[name], dtype=dtype.newbyteorder("<")).astype(dtype)
    return Trace(**given, soft=unpack(cells["soft"]) if "soft" in cells else None)
