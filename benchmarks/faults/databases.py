"""Damaged databases: 200 of them, each met by one of the commands that read a run.

What ends with 0 must have read what was written: every row of it, or, where the write-ahead log was damaged, what
had been committed before. What `export --salvage` saves must be rows as they were written.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.common import Case, Done, changed, command, held, preload, snapshot
from ownwords.traces.cells import TRACE, checksum, to_cell
from ownwords.traces.store import Store

RUN = (
    "generate", "--run", "run", "--problems", "world:size=4,seed=1", "--attempts", "3", "--max-tokens", "150",
    "--draft-length", "0",
)  # fmt: skip
COMMANDS = {
    "show": ("show", "run"),
    "export": ("export", "run", "--out", "out", "--incorrect"),
    "salvage": ("export", "run", "--salvage", "--out", "out", "--incorrect"),
    "report": ("report", "run", "--out", "page.html"),
    "score": ("score", "run", "--student", "world", "--out", "scores"),
    "train": ("train", "--data", "run", "--incorrect", "--preset", "world", "--out", "student", "--dry-run"),
    "compare": ("compare", "run", "sound"),
    "analyse": ("analyse", "run"),
    "generate": RUN,
}
Damage = Callable[[Path, random.Random], str]
"""damages the database at a path, and says how"""


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    preload()
    rng = random.Random(seed)
    made = command(RUN, work)
    assert made.code == 0, made.err
    sound = work / "run"
    sound.rename(work / "sound")
    _log(work / "sound", work / "logged")
    written = content(work / "sound")
    names = list(COMMANDS)
    for n in range(15 if quick else 200):
        damage, base = DAMAGES[n % len(DAMAGES)]
        name = names[n % len(names)] if quick else rng.choice(names)
        here = work / f"case{n}"
        shutil.copytree(work / base, here / "run")
        shutil.copytree(work / "sound", here / "sound")
        how = damage(here / "run" / "traces.sqlite", rng)
        before = snapshot(here)
        done = command(COMMANDS[name], here)
        yield held(f"{name}, {how}", done, _wrong(name, done, here, before, written, base == "logged"))
        shutil.rmtree(here)


def _wrong(name: str, done: Done, here: Path, before: dict, written: dict, may_lack: bool) -> str:
    # reading makes and takes away the shared memory of the log, and going on with a run folds the log into it
    out = ("out", "page.html", "scores", "student", "run/traces.sqlite", "run/lock", "run/config", "run/versions")
    if wrong := changed(before, snapshot(here), lambda path: path.startswith(out)):
        return wrong
    if done.code == 0 and name != "salvage":
        read = content(here / "run")
        if any(written.get(key) != cells for key, cells in read.items()):
            return "rows were read that nobody wrote"
        if len(read) < len(written) and not may_lack and name != "generate":
            return f"{len(written) - len(read)} rows were lost without a word"
    if done.code and (left := [path for path in ("out", "page.html", "scores", "student") if (here / path).exists()]):
        return f"{left[0]} was left behind"
    return ""


def content(run_dir: Path) -> dict[tuple[str, int], bytes]:
    """(problem id, attempt) -> a digest of its row, the time that it took left out."""
    with Store.read(run_dir) as store:
        names = [name for name in TRACE if name != "seconds"]
        return {
            (trace.problem_id, trace.attempt): checksum(to_cell(name, getattr(trace, name)) for name in names)
            for trace in store.traces()
        }


def _log(sound: Path, copy: Path) -> None:
    """A run as a kill leaves it: its last rows are in the write-ahead log only."""
    shutil.copytree(sound, copy)
    database = copy / "traces.sqlite"
    with sqlite3.connect(database) as db:
        rows = db.execute("SELECT * FROM traces WHERE rowid > 8").fetchall()
        db.execute("DELETE FROM traces WHERE rowid > 8")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.executemany(f"INSERT INTO traces VALUES ({', '.join('?' * len(rows[0]))})", rows)
        db.commit()
        files = {path.name: path.read_bytes() for path in copy.glob("traces.sqlite*")}
    db.close()
    for name, data in files.items():
        (copy / name).write_bytes(data)
    (copy / "traces.sqlite-shm").unlink(missing_ok=True)


def _truncated(path: Path, rng: random.Random) -> str:
    size = rng.choice([0, 1, 99, 100, 4096, 8192, rng.randrange(path.stat().st_size)])
    path.write_bytes(path.read_bytes()[:size])
    return f"cut to {size} bytes"


def _flipped(count: int, beginning: int | None = None) -> Damage:
    def damage(path: Path, rng: random.Random) -> str:
        data = bytearray(path.read_bytes())
        places = [rng.randrange(beginning or len(data)) for _ in range(count)]
        for place in places:
            data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        return f"bits flipped at {places[0]}" + f" and {count - 1} other places" * (count > 1)

    return damage


def _page(content: Callable[[random.Random], bytes], what: str) -> Damage:
    def damage(path: Path, rng: random.Random) -> str:
        data = bytearray(path.read_bytes())
        number = rng.randrange(len(data) // 4096)
        data[4096 * number : 4096 * (number + 1)] = content(rng)
        path.write_bytes(data)
        return f"page {number + 1} {what}"

    return damage


def _swapped(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    one, other = (4096 * n for n in rng.sample(range(1, len(data) // 4096), 2))
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]
    path.write_bytes(data)
    return f"pages {one // 4096 + 1} and {other // 4096 + 1} changed places"


def _sql(*statements: str) -> Damage:
    def damage(path: Path, rng: random.Random) -> str:
        statement = rng.choice(statements)
        with sqlite3.connect(path) as db:
            db.executescript(statement)
        db.close()
        return statement

    return damage


def _replaced(path: Path, rng: random.Random) -> str:
    path.unlink()
    kind = rng.choice(["a directory", "a text", "a link to nothing", "another program's database"])
    if kind == "a directory":
        path.mkdir()
    elif kind == "a text":
        path.write_text("not a database\n" * rng.choice([1, 1000]))
    elif kind == "a link to nothing":
        path.symlink_to("nothing")
    else:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE mine (x)")
        db.close()
    return f"replaced by {kind}"


def _log_damaged(path: Path, rng: random.Random) -> str:
    log = path.with_name("traces.sqlite-wal")
    data = bytearray(log.read_bytes())
    kind = rng.choice(["cut", "flipped", "noise", "a directory"])
    if kind == "cut":
        data = data[: rng.randrange(len(data))]
    elif kind == "flipped":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "noise":
        data[:] = rng.randbytes(len(data))
    log.unlink()
    if kind == "a directory":
        log.mkdir()
    else:
        log.write_bytes(data)
    return f"log: {kind}"


GONE = [f"{how} {table}" for how in ("DROP TABLE", "DELETE FROM") for table in ("run", "problems")]
DAMAGES: list[tuple[Damage, str]] = [
    (_truncated, "sound"),
    (_flipped(1, 100), "sound"),
    (_flipped(1), "sound"),
    (_flipped(30), "sound"),
    (_page(lambda rng: bytes(4096), "zeroed"), "sound"),
    (_page(lambda rng: rng.randbytes(4096), "overwritten with noise"), "sound"),
    (_swapped, "sound"),
    (_sql(*GONE), "sound"),
    (
        _sql(
            "UPDATE traces SET attempt = 'two' WHERE rowid = 2", "UPDATE traces SET seconds = 'long'",
            "UPDATE traces SET token_ids = 7 WHERE rowid = 1", "UPDATE traces SET verdict = 3 WHERE rowid = 1",
            "UPDATE problems SET question = x'00ff'", "UPDATE traces SET thinking = CAST(x'ff41' AS TEXT)",
        ),
        "sound",
    ),
    (
        _sql(
            "UPDATE traces SET token_ids = substr(token_ids, 1, 7)", "UPDATE traces SET pass_mass = x''",
            "UPDATE traces SET student_logprob = student_logprob || x'00' WHERE rowid = 3",
        ),
        "sound",
    ),
    (
        _sql(
            "UPDATE run SET config = '{'", "UPDATE run SET config = '[]'", "UPDATE run SET identity = '7'",
            "UPDATE problems SET metadata = 'none'", "UPDATE run SET versions = x'00'",
        ),
        "sound",
    ),
    (_sql("PRAGMA user_version = 0", "PRAGMA user_version = 99", "PRAGMA application_id = 7"), "sound"),
    (_replaced, "sound"),
    (_log_damaged, "logged"),
    (_flipped(1), "logged"),
]  # fmt: skip
