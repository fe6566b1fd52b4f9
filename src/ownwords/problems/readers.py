"""The rows of JSONL, JSON, CSV and Parquet files, each with the place where it stands.

A row that cannot be read comes as the reason why, in words, in the place of its fields; whoever reads the rows decides
whether that stops the run. What makes a whole file unreadable raises ValueError.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ownwords.io.paths import check_input

Rows = Iterator[tuple[str, dict[str, Any] | str]]
"""(where: `a.csv, line 7`; the fields, or why there are none)"""
CELL = 10**8
"""characters; the most that a CSV field may hold (the csv module's own limit is too small for a worked solution)"""
BATCH = 256
"""Parquet rows in memory at a time"""


def read_rows(path: Path) -> Rows:
    """The rows of a file, by its suffix (`READERS`). Raises ValueError if there is no such file."""
    if path.is_dir():
        raise ValueError(f"{path} is a directory, expected a file (hf:{path} reads a folder as a data set)")
    check_input(path, f"a {', '.join(READERS)} file")
    return READERS[path.suffix.lower()](path)


def _jsonl(path: Path) -> Rows:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{path}, line {number}", _json_line(line, first=number == 1)


def _json_line(line: bytes, first: bool) -> dict[str, Any] | str:
    try:
        row = json.loads(line.decode("utf-8-sig" if first else "utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 ({error.reason} at byte {error.start})"
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        return f"not JSON ({error}), expected one object per line"
    return row if isinstance(row, dict) else f"a JSON {type(row).__name__}, expected an object"


def _json(path: Path) -> Rows:
    """A list of objects, an object with one list of them, or, as many files of this name are, lines."""
    try:
        whole = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _jsonl(path)
            return
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}), expected a list of objects") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}), expected a list of objects") from error
    if isinstance(whole, dict):
        lists = {key: value for key, value in whole.items() if isinstance(value, list)}
        if len(lists) != 1:
            raise ValueError(
                f"{path}: an object with {len(lists)} lists ({', '.join(lists) or 'none'}), expected a list of "
                "objects, or an object with one"
            )
        [whole] = lists.values()
    if not isinstance(whole, list):
        raise ValueError(f"{path}: a JSON {type(whole).__name__}, expected a list of objects")
    for number, row in enumerate(whole, 1):
        fine = isinstance(row, dict)
        yield f"{path}, item {number}", row if fine else f"a JSON {type(row).__name__}, expected an object"


def _csv(path: Path) -> Rows:
    """A header and rows. A byte that is not UTF-8 becomes half a character, which the fields are searched for."""
    csv.field_size_limit(CELL)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        table = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            header = next(table, [])
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise ValueError(f"{path}, line 1: two columns are called {twice!r}, expected different names")
            line = table.line_num + 1
            for cells in table:
                if cells:
                    fine = len(cells) == len(header)
                    reason = f"{len(cells)} fields, expected the {len(header)} of the header"
                    yield f"{path}, line {line}", dict(zip(header, cells)) if fine else reason
                line = table.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: not CSV ({error}), expected a quoted field to end") from error


def _parquet(path: Path) -> Rows:
    try:
        with pq.ParquetFile(path.absolute()) as file:
            number = 0
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: no readable Parquet file ({' '.join(str(error).split())})") from error


READERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet,
}  # fmt: skip
