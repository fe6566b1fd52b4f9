"""The durable store of a run: every finished attempt is one SQLite transaction in `RUN/traces.sqlite`.

A killed run loses the attempts in flight and no other; a resumed one asks `done()` and repeats none. A run directory
belongs to one configuration: the settings that a trace depends on have a digest, and another digest is refused.
Beside the database, for people to read: `config.yaml` (the resolved configuration, dotted keys) and `versions.json`.

WAL needs shared memory: a run directory lives on a local disk, not on a network share.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from ownwords.io.changes import changes
from ownwords.io.files import damaged, folder, locked, plain_errors, undone, write_file
from ownwords.io.paths import check_folder, check_input, foreign
from ownwords.records.problem import Problem
from ownwords.records.trace import VERDICTS, Trace
from ownwords.traces.cells import (
    LAYOUT,
    SCHEMA,
    WITH_SOFT,
    checked,
    clean,
    from_cells,
    insert,
    selected,
    to_cells,
)

FILES = ("traces.sqlite", "traces.sqlite-wal", "traces.sqlite-shm", "config.yaml", "versions.json")
"""what a run makes of its directory before the first row"""
WHOLE = """
SELECT (SELECT count(*) FROM traces NOT INDEXED) = (SELECT count(*) FROM traces INDEXED BY sqlite_autoindex_traces_1)
   AND (SELECT count(*) FROM problems NOT INDEXED)
     = (SELECT count(*) FROM problems INDEXED BY sqlite_autoindex_problems_1)
   AND NOT EXISTS (SELECT 1 FROM traces WHERE problem_id NOT IN (SELECT id FROM problems))
"""
"""Rows stand in a table and in its index: what a torn page takes from one of them is missed by the other. Reads no
trace, and is one statement, so that a writer cannot come in between."""


def digest_of(config: dict[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of the canonical JSON of `config`."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return (Path(path) / "traces.sqlite").is_file()


class Store:
    """The traces of one run directory; made by `open` (reads and writes) or `read` (reads, also beside a writer)."""

    def __init__(self, run_dir: Path, db: sqlite3.Connection) -> None:
        self.run_dir = run_dir
        self._db = db
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        if layout != LAYOUT:
            raise ValueError(
                f"{run_dir} was written by another version of ownwords (layout {layout} of its tables, this version "
                f"reads {LAYOUT}): read it with that version, or make it anew"
            )
        self._closing = ExitStack()
        self._added: list[int] = []
        """rowids of what this process has stored"""
        if not next(self._rows(WHOLE))[0]:
            raise ValueError(damaged(run_dir, "rows are missing"))
        found = next(self._whole("run"), None)
        if found is None:
            raise ValueError(damaged(run_dir, "its configuration is missing"))
        self.digest = found["digest"]
        self.config: dict[str, Any] = json.loads(found["config"])
        """the resolved configuration that the run was made with: dotted key -> JSON value"""
        self.identity: list[str] = json.loads(found["identity"])
        """the keys of `config` that a trace depends on"""
        self.versions: dict[str, Any] = json.loads(found["versions"])
        self.soft_targets: int | None = self.config.get("soft_targets")
        """k of the soft targets that every trace has; None for none"""

    @classmethod
    def open(
        cls, run_dir: Path, config: dict[str, Any], versions: dict[str, Any], identity: Collection[str] | None = None
    ) -> Store:
        """Create the run, or go on with it. `config`: dotted key -> JSON value; `identity`: the keys of it that a
        trace depends on (None: all). A run keeps the configuration and the versions that it was created with.

        Raises ValueError if the directory is no run directory, was made with another configuration, or is being
        written by another process; DiskFull if there is no room.
        """
        keys = sorted(config if identity is None else identity)
        run_dir, path = Path(run_dir), Path(run_dir) / "traces.sqlite"
        check_folder(run_dir, field="run")
        if os.path.lexists(path):
            check_input(path, "the database of a run")  # SQLite would make the file that a link leads to
        elif found := foreign(run_dir):
            raise ValueError(
                f"{run_dir} is not empty and no run directory (it holds {found[0]}, but no traces.sqlite): "
                "name another --run"
            )
        with plain_errors(run_dir), ExitStack() as closing:
            closing.enter_context(folder(run_dir))
            closing.enter_context(locked(run_dir))
            rows: list[int] = []
            closing.enter_context(undone([run_dir / name for name in FILES], lambda: bool(rows)))
            db = sqlite3.connect(path)
            closing.callback(db.close)
            made = _has_run(db)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            if not made:
                _create(db, config, versions, keys)
            store = cls(run_dir, db)
            store._refuse_another(config, keys)
            store._write_for_people()
            store._added = rows
            store._closing = closing.pop_all()
        return store

    @classmethod
    def read(cls, run_dir: Path) -> Store:
        """Open an existing run for reading. Raises ValueError if there is none, or if its database is damaged."""
        run_dir, path = Path(run_dir), Path(run_dir) / "traces.sqlite"
        if not path.is_file():
            seen = "has no traces.sqlite" if run_dir.is_dir() else "does not exist"
            raise ValueError(f"{run_dir} {seen}: expected the run directory of `ownwords generate`")
        with plain_errors(run_dir), ExitStack() as closing:
            # WAL wants its shared memory beside the database even for reading; where we may not put it, and there is no
            # log to share, the file alone is all there is
            alone = not os.access(run_dir, os.W_OK) and not path.with_name("traces.sqlite-wal").exists()
            mode = "immutable=1" if alone else "mode=ro"
            db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
            closing.callback(db.close)
            if not _has_run(db):
                raise ValueError(f"{path} holds no run: expected the run directory of `ownwords generate`")
            store = cls(run_dir, db)
            store._closing = closing.pop_all()
        return store

    def add(self, problem: Problem, trace: Trace) -> None:
        """Commit one finished attempt, and its problem where it is new.

        Raises ValueError if the problem is stored with another answer, DiskFull if there is no room (nothing of this
        attempt is stored then), sqlite3.IntegrityError if the attempt is stored already.
        """
        assert trace.problem_id == problem.id, f"trace of {trace.problem_id}, problem {problem.id}"
        metadata = json.dumps(problem.metadata, sort_keys=True)
        judged = {"answer": clean(problem.answer), "kind": clean(problem.kind), "metadata": metadata}
        with plain_errors(self.run_dir), self._db as db:
            known = db.execute("SELECT answer, kind, metadata FROM problems WHERE id = ?", [problem.id]).fetchone()
            if known is None:
                texts = {name: clean(getattr(problem, name)) for name in ("question", "source", "solution")}
                insert(db, "problems", {"id": problem.id, **texts, **judged})
            elif changed := changes(dict(zip(judged, known, strict=True)), judged):
                raise ValueError(
                    f"{self.run_dir} has problem {problem.id} with other values: {changed}. "
                    "Its stored verdicts hold for the old ones: use these, or name another --run"
                )
            assert (trace.soft is None) == (self.soft_targets is None), f"soft targets: {self.soft_targets}"
            self._added[:] = [insert(db, "traces", {**to_cells(trace), "digest": self.digest})]

    def done(self) -> set[tuple[str, int]]:
        """(problem id, attempt) of everything stored."""
        return set(self._rows("SELECT problem_id, attempt FROM traces"))

    def verdicts(self) -> dict[str, dict[int, str]]:
        """problem id -> attempt -> verdict."""
        verdicts: dict[str, dict[int, str]] = {}
        for problem_id, attempt, verdict in self._rows(
            "SELECT problem_id, attempt, verdict FROM traces ORDER BY problem_id, attempt"
        ):
            if verdict not in VERDICTS:
                raise ValueError(damaged(self.run_dir, f"a verdict is {verdict!r}"))
            verdicts.setdefault(problem_id, {})[attempt] = verdict
        return verdicts

    def problems(self) -> dict[str, Problem]:
        """problem id -> problem, of all that have a trace, in the order in which they were stored."""
        found = {}
        for row in self._whole("problems", "ORDER BY rowid"):
            problem_id, row["metadata"] = row.pop("id"), json.loads(row["metadata"])
            found[problem_id] = Problem(**row)
        return found

    def traces(self, problem_id: str | None = None, soft: bool = False) -> Iterator[Trace]:
        """All traces, or those of one problem, one at a time, in the order of (problem id, attempt). `soft`: with their
        soft targets, which are most of what there is to read; a run without them has none to give."""
        where, values = ("", []) if problem_id is None else ("WHERE problem_id = ?", [problem_id])
        soft = soft and self.soft_targets is not None
        for row in self._whole("traces", f"{where} ORDER BY problem_id, attempt", values, soft):
            yield from_cells(row)

    def __len__(self) -> int:
        return next(self._rows("SELECT count(*) FROM traces"))[0]

    def close(self) -> None:
        """Give the database and the lock back."""
        self._closing.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: Any) -> None:
        """Close; a run that fails before its first row leaves no directory."""
        self._closing.__exit__(*error)

    def _rows(self, query: str, values: list[Any] | None = None) -> Iterator[tuple[Any, ...]]:
        with plain_errors(self.run_dir):
            yield from self._db.execute(query, values or [])

    def _whole(
        self, table: str, rest: str = "", values: list[Any] | None = None, soft: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Whole rows of a table, column name -> cell. Raises ValueError at one that is not as it was written."""
        for row in self._rows(f"{selected(table, soft)} {rest}", values):
            try:
                yield checked(table, row)
            except ValueError as error:
                raise ValueError(damaged(self.run_dir, str(error))) from None

    def _refuse_another(self, config: dict[str, Any], keys: list[str]) -> None:
        if changed := changes({key: self.config[key] for key in self.identity}, {key: config[key] for key in keys}):
            raise ValueError(
                f"{self.run_dir} was made with another configuration: {changed}. "
                "Name another --run, or use the old values"
            )

    def _write_for_people(self) -> None:
        config = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        for name, text in (("config.yaml", config), ("versions.json", json.dumps(self.versions, indent=2) + "\n")):
            if not (self.run_dir / name).exists():
                write_file(self.run_dir / name, text)


def _has_run(db: sqlite3.Connection) -> bool:
    """False for an empty database. Raises ValueError for one of somebody else's."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    if tables and "run" not in tables:
        raise ValueError(f"traces.sqlite holds other tables than those of a run ({tables[0]}): name another --run")
    return bool(tables)


def _create(db: sqlite3.Connection, config: dict[str, Any], versions: dict[str, Any], identity: list[str]) -> None:
    digest = digest_of({key: config[key] for key in identity})
    with db:
        # by hand: sqlite3 begins a transaction for INSERT only, and a run without its tables would be a torn one
        db.execute("BEGIN")
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        if config.get("soft_targets") is not None:
            db.execute(WITH_SOFT)
        settings = {"config": json.dumps(config), "identity": json.dumps(identity)}
        insert(db, "run", {**settings, "digest": digest, "versions": json.dumps(versions)})
