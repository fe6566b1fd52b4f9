"""What can still be read of a run whose database is damaged.

SQLite finds a row through the pages above it, and gives up where one of them is torn. Here every page is looked at on
its own, in the database and in its write-ahead log: a leaf holds whole records, and a record whose checksum holds is a
row as it was written, wherever it was found (https://www.sqlite.org/fileformat2.html). Nothing is written beside the
damaged files, and SQLite does not open them.
"""

from __future__ import annotations

import json
import mmap
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ownwords.records.problem import Problem
from ownwords.traces.cells import CELLS, SCHEMA, checked, from_cells
from ownwords.traces.store import Store

LEAF = 0x0D
"""the first byte of a page that holds rows of a table"""
INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""serial type -> bytes"""


@dataclass(frozen=True)
class Salvaged:
    """How much was saved."""

    attempts: int
    lost: int
    """at least: rows are numbered, and those behind the last one that was found are not known of"""


def salvage(run_dir: Path, into: Path) -> Salvaged:
    """Make a sound run directory `into` of the attempts that can still be read in `run_dir`.

    Raises ValueError if there are none, or if neither the database nor `config.yaml` tells the configuration.
    """
    path = Path(run_dir) / "traces.sqlite"
    if not path.is_file():
        raise ValueError(f"{run_dir} has no traces.sqlite: expected a run directory of `ownwords generate`")
    found: dict[str, dict[int, dict[str, Any]]] = {table: {} for table in CELLS}
    pages = _Pages(path)
    for table, rowid, row in _rows(pages, ["run", "problems"]):
        found[table][rowid] = row
    problems = {row["id"]: _problem(row) for row in found["problems"].values()}
    config, versions, identity = _configuration(Path(run_dir), found["run"])
    seen: set[int] = set()
    saved = 0
    with Store.open(into, config, versions, identity) as store:
        for _, rowid, row in _rows(pages, ["traces"]):
            if rowid not in seen and row["problem_id"] in problems:
                store.add(problems[row["problem_id"]], from_cells(row))
                saved += 1
            seen.add(rowid)
        if not saved:
            raise ValueError(f"{path} holds no attempt that can still be read")
    return Salvaged(saved, max(seen) - saved)


def _problem(row: dict[str, Any]) -> Problem:
    given = {name: value for name, value in row.items() if name != "id"}
    return Problem(**{**given, "metadata": json.loads(row["metadata"])})


def _configuration(run_dir: Path, rows: dict[int, dict[str, Any]]) -> tuple[dict, dict, list[str] | None]:
    """(config, versions, identity), from the database or from what lies beside it for people to read."""
    for row in rows.values():
        return json.loads(row["config"]), json.loads(row["versions"]), json.loads(row["identity"])
    with suppress(OSError, ValueError, yaml.YAMLError):
        config = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
        if isinstance(config, dict) and {"student", "think", "gate"} <= set(config):
            return config, {}, None
    raise ValueError(f"{run_dir} has lost its configuration, in traces.sqlite and in config.yaml: nothing to save by")


class _Pages:
    """The pages of a database, each in the version that was written last."""

    def __init__(self, path: Path) -> None:
        self.data = _bytes(path)
        size = int.from_bytes(self.data[16:18], "big")
        self.size = 65536 if size == 1 else size if size in (512 << n for n in range(7)) else 4096
        self.usable = self.size - (self.data[20] if len(self.data) > 20 and self.data[20] < 32 else 0)
        self.log = _bytes(path.with_name(path.name + "-wal"))
        self.logged: dict[int, int] = {}
        """page number -> where it stands in the log"""
        for at in range(32, len(self.log) - self.size - 23, self.size + 24):
            if self.log[at + 8 : at + 16] == self.log[16:24]:  # of this log, not of the one that it overwrites
                self.logged[int.from_bytes(self.log[at : at + 4], "big")] = at + 24

    def numbers(self) -> Iterator[int]:
        yield from sorted({*range(1, len(self.data) // self.size + 1), *self.logged})

    def __getitem__(self, number: int) -> bytes:
        if number in self.logged:
            return self.log[self.logged[number] : self.logged[number] + self.size]
        page = self.data[(number - 1) * self.size : number * self.size] if number > 0 else b""
        if len(page) < self.size:
            raise ValueError(f"there is no page {number}")
        return page


def _bytes(path: Path) -> Any:
    if not path.is_file() or not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _rows(pages: _Pages, tables: list[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(table, rowid, row) of every whole row of these tables."""
    with sqlite3.connect(":memory:") as empty:
        empty.executescript(SCHEMA)
        columns = {table: empty.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}
    for number in pages.numbers():
        for rowid, values in _records(pages, number):
            for table in tables:
                names = [name for _, name, *_ in columns[table]]
                soft = values[len(names) :]
                if len(values) < len(names) or len(soft) > (table == "traces"):
                    continue
                kinds = [kind for _, _, kind, *_ in columns[table]]
                # SQLite keeps a whole REAL as an integer
                cells = {n: float(v) if k == "REAL" and v is not None else v for n, k, v in zip(names, kinds, values)}
                with suppress(ValueError):
                    yield table, rowid, checked(table, [cells["checksum"], *(cells[n] for n in CELLS[table]), *soft])


def _records(pages: _Pages, number: int) -> Iterator[tuple[int, list[Any]]]:
    """(rowid, values) of the records of a page that hang together; none if it is no leaf of a table."""
    try:
        page = pages[number]
    except ValueError:
        return
    start = 100 if number == 1 else 0
    if page[start] != LEAF:
        return
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    for n in range(min(cells, (pages.size - start - 8) // 2)):
        place = start + 8 + 2 * n
        with suppress(ValueError, IndexError, struct.error):
            at = int.from_bytes(page[place : place + 2], "big")
            length, at = _varint(page, at)
            rowid, at = _varint(page, at)
            yield rowid, _values(_payload(pages, page, at, length))


def _payload(pages: _Pages, page: bytes, at: int, length: int) -> bytes:
    """`length` bytes from `at` on, and from the chain of pages that takes what does not fit."""
    most = pages.usable - 35
    if length <= most:
        return page[at : at + length]
    least = (pages.usable - 12) * 32 // 255 - 23
    here = least + (length - least) % (pages.usable - 4)
    here = here if here <= most else least
    parts, left = [page[at : at + here]], length - here
    following = int.from_bytes(page[at + here : at + here + 4], "big")
    while left > 0:
        more = pages[following]
        parts.append(more[4 : 4 + min(left, pages.usable - 4)])
        left -= len(parts[-1])
        following = int.from_bytes(more[:4], "big")
    return b"".join(parts)


def _values(record: bytes) -> list[Any]:
    end, at = _varint(record, 0)
    kinds = []
    while at < end:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        size = INTEGERS.get(kind, 8 if kind == 7 else 0 if kind < 12 else (kind - 12) // 2)
        content = record[at : at + size]
        if len(content) < size:
            raise ValueError("a record that ends too early")
        at += size
        if kind in INTEGERS:
            values.append(int.from_bytes(content, "big", signed=True))
        elif kind >= 12:
            values.append(content.decode() if kind % 2 else bytes(content))
        else:
            values.append({0: None, 7: struct.unpack(">d", content)[0] if size else None, 8: 0, 9: 1}[kind])
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(the number, where it ends): 7 bits a byte, the high one says that more follow, the ninth byte has all 8."""
    value = 0
    for n in range(9):
        byte = data[at + n]
        if n == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + n + 1
    raise AssertionError("not reached")
