"""The store: bit for bit, one transaction per attempt, one configuration and one writer per run."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from ownwords.io.files import DiskFull
from ownwords.records.problem import Problem
from ownwords.records.trace import FINISH_REASONS, VERDICTS, Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.traces.select import Selection, reasons, select
from ownwords.traces.store import Store

CONFIG = {"gate": "threshold:0.01", "sampling.seed": 0, "sampling.temperature": 0.7, "engine.batch": 8}
IDENTITY = ["gate", "sampling.seed", "sampling.temperature"]
VERSIONS = {"ownwords": "0.0", "torch": "2.13.0"}
ATTEMPTS = 4


def make(index: int, tokens: int = 200) -> tuple[Problem, Trace]:
    """The `index`th of an endless list of random attempts, the same in every process."""
    rng = np.random.default_rng(index)
    problem = Problem(f"What is {index // ATTEMPTS} + 1?", str(index // ATTEMPTS + 1), metadata={"steps": [1, 2]})
    # random bytes are every float there is: NaN, infinities, subnormal numbers, both zeros
    columns = {name: rng.bytes(tokens * dtype.itemsize) for name, dtype in COLUMNS.items()}
    trace = Trace(
        problem_id=problem.id,
        attempt=index % ATTEMPTS,
        prompt_ids=rng.integers(0, 2**31, 7),
        **{name: np.frombuffer(columns[name], dtype) for name, dtype in COLUMNS.items()},
        finish_reason=FINISH_REASONS[index % len(FINISH_REASONS)],
        thinking=f"So: {index} + 1 is \u65e5\u672c \U0001f600\0 ...",
        answer_text="\n\\boxed{1}",
        answer="1",
        verdict=VERDICTS[index % len(VERDICTS)],
        seconds=float(rng.random()),
    )
    return problem, trace


def content(trace: Trace) -> dict[str, object]:
    """Every field of a trace, arrays as type and bytes, so that NaN equals itself."""
    values = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return {
        name: (str(value.dtype), value.tobytes()) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def contents(run: Path) -> list[dict[str, object]]:
    with Store.read(run) as store:
        return [content(trace) for trace in store.traces()]


def opened(run: Path, **changes: object) -> Store:
    return Store.open(run, {**CONFIG, **changes}, VERSIONS, IDENTITY)


def filled(run: Path, count: int) -> Path:
    with opened(run) as store:
        for index in range(count):
            store.add(*make(index))
    return run


def subprocess_of(*arguments: object) -> subprocess.Popen[str]:
    """This file as a program, see its end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_round_trip_is_bit_for_bit(tmp_path):
    made = [make(index) for index in range(9)]
    with opened(tmp_path / "run") as store:
        for problem, trace in made:
            store.add(problem, trace)
        assert len(store) == 9
    with Store.read(tmp_path / "run") as store:
        expected = sorted((trace for _, trace in made), key=lambda trace: (trace.problem_id, trace.attempt))
        assert [content(trace) for trace in store.traces()] == [content(trace) for trace in expected]
        assert store.problems() == {problem.id: problem for problem, _ in made}
        assert list(store.problems()) == list(dict.fromkeys(problem.id for problem, _ in made))
        assert store.done() == {(trace.problem_id, trace.attempt) for _, trace in made}
        first = made[0][0].id
        assert store.verdicts()[first] == {trace.attempt: trace.verdict for _, trace in made[:4]}
        assert [trace.attempt for trace in store.traces(first)] == [0, 1, 2, 3]
        assert [trace.problem_id for trace in store.traces(first)] == [first] * 4
        assert (store.config, store.versions) == (CONFIG, VERSIONS)
        assert next(store.traces()).token_ids.flags.writeable


def test_arrays_lie_little_endian_on_every_machine(tmp_path):
    problem, trace = make(0, tokens=2)
    trace.token_ids = np.array([1, 258], np.int32)
    with opened(tmp_path) as store:
        store.add(problem, trace)
    with sqlite3.connect(tmp_path / "traces.sqlite") as db:
        assert db.execute("SELECT token_ids FROM traces").fetchone()[0] == bytes([1, 0, 0, 0, 2, 1, 0, 0])


def test_an_empty_trace_and_numpy_scalars(tmp_path):
    problem, trace = make(0, tokens=0)
    trace.attempt, trace.seconds = np.int64(3), np.float32(0.5)
    with opened(tmp_path) as store:
        store.add(problem, trace)
        assert store.done() == {(problem.id, 3)}
        assert content(next(store.traces())) == content(trace)


def test_text_that_utf8_cannot_hold(tmp_path):
    problem, trace = make(0)
    trace.thinking, trace.answer = "a\ud800b\0c", "\ud83d\ude00"
    with opened(tmp_path) as store:
        store.add(problem, trace)
        stored = next(store.traces())
    assert (stored.thinking, stored.answer) == ("a\ufffdb\0c", "\U0001f600")


def test_rows_are_read_in_order_of_the_index_and_not_sorted_in_memory(tmp_path):
    with sqlite3.connect(filled(tmp_path, 3) / "traces.sqlite") as db:
        plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM traces ORDER BY problem_id, attempt").fetchall()
    assert "USING INDEX" in str(plan) and "TEMP B-TREE" not in str(plan)


def test_files_for_people(tmp_path):
    filled(tmp_path / "deep" / "run", 1)
    assert yaml.safe_load((tmp_path / "deep/run/config.yaml").read_text()) == CONFIG
    assert json.loads((tmp_path / "deep/run/versions.json").read_text()) == VERSIONS
    (tmp_path / "deep/run/config.yaml").unlink()  # as after a kill between the two
    opened(tmp_path / "deep/run", **{"engine.batch": 16}).close()
    assert yaml.safe_load((tmp_path / "deep/run/config.yaml").read_text()) == CONFIG
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_same_attempt_twice_is_refused(tmp_path):
    with opened(tmp_path) as store:
        store.add(*make(0))
        problem, other = make(0)
        other.thinking = "another"
        with pytest.raises(sqlite3.IntegrityError):
            store.add(problem, other)
        assert [content(trace) for trace in store.traces()] == [content(make(0)[1])]
        store.add(*make(1))
        assert len(store) == 2


def test_a_problem_whose_answer_changed_is_refused(tmp_path):
    problem, trace = make(1)
    with opened(tmp_path) as store:
        store.add(*make(0))
        corrected = Problem(problem.question, "2", source="another file", metadata=problem.metadata)
        with pytest.raises(ValueError, match="with other values: answer: 1 -> 2"):
            store.add(corrected, trace)
        store.add(Problem(problem.question, "1", source="another file", metadata=problem.metadata), trace)
        assert store.problems()[problem.id] == problem


def test_a_changed_configuration_is_refused_by_name(tmp_path):
    filled(tmp_path, 1)
    with pytest.raises(ValueError) as refusal:
        opened(tmp_path, gate="always", **{"sampling.seed": 1, "engine.batch": 16})
    assert str(refusal.value) == (
        f"{tmp_path} was made with another configuration: gate: threshold:0.01 -> always; sampling.seed: 0 -> 1. "
        "Name another --run, or use the old values"
    )
    with pytest.raises(ValueError, match=r"gate: threshold:0.01 -> \(not set\)"):
        Store.open(tmp_path, CONFIG, VERSIONS, IDENTITY[1:])
    with opened(tmp_path, **{"engine.batch": 16}) as store:  # nothing that a trace depends on
        store.add(*make(1))
    assert len(contents(tmp_path)) == 2


def test_the_digest_is_of_the_identity_alone(tmp_path):
    with opened(tmp_path / "a") as a, opened(tmp_path / "b", **{"engine.batch": 1}) as b:
        assert a.digest == b.digest and len(a.digest) == 16
    with opened(tmp_path / "c", gate="always") as c:
        assert c.digest != a.digest
    shuffled = dict(reversed(CONFIG.items()))
    with Store.open(tmp_path / "d", shuffled, VERSIONS, IDENTITY) as d:
        assert d.digest == a.digest


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml"])
def test_a_directory_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"not empty and no run directory .it holds {name}"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"
    with pytest.raises(ValueError, match="is a file, expected a directory to write to"):
        opened(tmp_path / name)


def test_reading_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="does not exist: expected the run directory"):
        Store.read(tmp_path / "none")
    with pytest.raises(ValueError, match="has no traces.sqlite"):
        Store.read(tmp_path)
    (tmp_path / "traces.sqlite").touch()
    with pytest.raises(ValueError, match="holds no run"):
        Store.read(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["traces.sqlite"]
    opened(tmp_path).close()  # a run that was killed before its first transaction goes on
    assert contents(tmp_path) == []


def test_a_damaged_database_is_a_plain_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/traces.sqlite").write_bytes(b"not a database, and long enough to be one " * 100)
    for use in (opened, Store.read):
        with pytest.raises(ValueError, match="is damaged or is no trace store .file is not a database"):
            use(tmp_path / "a")

    path = filled(tmp_path / "b", 40) / "traces.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + random.Random(0).randbytes(len(whole) - 8192))
    with pytest.raises(ValueError, match="is damaged"):
        contents(tmp_path / "b")


def test_tables_of_another_version_are_refused(tmp_path):
    run = filled(tmp_path / "run", 2)
    with sqlite3.connect(run / "traces.sqlite") as db:
        db.execute("PRAGMA user_version = 0")
    before = (run / "traces.sqlite").read_bytes()
    for use in (opened, Store.read):
        with pytest.raises(ValueError, match=r"written by another version of ownwords \(layout 0 .* reads 2\)"):
            use(run)
    assert (run / "traces.sqlite").read_bytes() == before


def test_a_reader_sees_what_a_living_writer_has_committed(tmp_path):
    with opened(tmp_path) as store:
        store.add(*make(0))
        with Store.read(tmp_path) as reader:
            assert len(reader) == 1
            store.add(*make(1))
            assert len(reader) == 2
            with pytest.raises(ValueError, match="readonly database.: are it and its directory yours to write"):
                reader.add(*make(2))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_of_somebody_else_can_be_read(tmp_path):
    filled(tmp_path / "run", 2)
    (tmp_path / "run").chmod(0o555)
    try:
        assert len(contents(tmp_path / "run")) == 2
    finally:
        (tmp_path / "run").chmod(0o755)


def test_a_second_writer_is_refused(tmp_path):
    writer = subprocess_of("hold", tmp_path)
    try:
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(ValueError, match=f"is being written by another process .process {writer.pid} on"):
            opened(tmp_path)
        assert len(contents(tmp_path)) == 1
    finally:
        writer.kill()
        writer.communicate()
    opened(tmp_path).close()


def test_a_forked_child_that_outlives_its_killed_parent_does_not_keep_the_run(tmp_path):
    writer = subprocess_of("fork", tmp_path)
    child = int(writer.stdout.readline())
    try:
        writer.kill()
        writer.wait()
        os.kill(child, 0)  # it lives
        opened(tmp_path).close()
    finally:
        os.kill(child, signal.SIGKILL)
        writer.stdout.close()


def test_kill_9_leaves_whole_rows_and_the_rest_can_be_added(tmp_path):
    interrupted, whole = tmp_path / "interrupted", filled(tmp_path / "whole", 1500)
    expected = {(trace["problem_id"], trace["attempt"]): trace for trace in contents(whole)}
    counts = []
    for delay in random.Random(1).sample(range(1, 60), 6):
        writer = subprocess_of("fill", interrupted, 1500)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(delay / 1000)
        writer.kill()
        writer.communicate()
        present = contents(interrupted)
        assert all(trace == expected[trace["problem_id"], trace["attempt"]] for trace in present)
        with Store.read(interrupted) as store:
            assert set(store.problems()) == {trace["problem_id"] for trace in present}
        counts.append(len(present))
        if len(present) == 1500:  # a quick machine: nothing is left to kill
            break
    assert counts == sorted(counts) and 0 < counts[0] < 1500, counts  # the last writers may have been quick
    writer = subprocess_of("fill", interrupted, 1500)
    assert writer.communicate()[0].splitlines()[-1] == f"added {1500 - counts[-1]}"
    assert contents(interrupted) == contents(whole)
    with Store.read(interrupted) as store, Store.read(whole) as other:
        assert store.problems() == other.problems()


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path):
    output = subprocess_of("limited", tmp_path, 2000).communicate()[0].splitlines()
    added, message = int(output[-2]), output[-1]
    assert message.startswith(f"DiskFull: the disk of {tmp_path} is full or failing (")
    assert message.endswith("everything finished so far is kept; free some space and start the same command again")
    assert 0 < added < 2000
    assert len(contents(tmp_path)) == added
    subprocess_of("fill", tmp_path, added + 50).communicate()
    assert contents(tmp_path) == contents(filled(tmp_path / "whole", added + 50))


def test_sqlite_saying_full_keeps_earlier_rows(tmp_path):
    with opened(tmp_path) as store:
        store.add(*make(0))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(DiskFull):
            store.add(*make(1, tokens=10_000))
        assert store.done() == {(make(0)[1].problem_id, 0)}
        store._db.execute("PRAGMA max_page_count=100000")
        store.add(*make(1, tokens=10_000))
        assert len(store) == 2


CLOSING = 9


def attempt(number: int = 0, tokens: int = 10, tags: int = 1, fallback: int = 0, forced: int = 0, **other) -> Trace:
    """A trace with so many tokens in all, among them closing tags, and so many of the student and forced ones."""
    zeros = dict.fromkeys(COLUMNS, np.zeros(tokens))
    zeros["token_ids"] = np.array([CLOSING] * tags + [1] * (tokens - tags))
    zeros["source"] = np.array([2] * forced + [1] * fallback + [0] * (tokens - forced - fallback))
    row = {
        "problem_id": "p",
        "finish_reason": "stop",
        "verdict": "correct",
        "prompt_ids": [CLOSING, 1, 1, 1],
        **zeros,
        **other,
    }
    return Trace(attempt=number, **row)


@pytest.mark.parametrize(
    ("trace", "selection", "expected"),
    [
        (attempt(), Selection(), []),
        (attempt(verdict="incorrect"), Selection(), ["verdict is incorrect"]),
        (attempt(verdict="unverifiable"), Selection(), ["verdict is unverifiable"]),
        (attempt(verdict="incorrect"), Selection(correct=False), []),
        (attempt(tags=0), Selection(), ["0 closing think tags"]),
        (attempt(tags=2), Selection(), ["2 closing think tags"]),
        (attempt(tags=2), Selection(closing_tag=False), []),
        (attempt(tags=0, prompt_ids=[1, 1, CLOSING, 1]), Selection(), []),  # the template has closed the thinking
        (attempt(prompt_ids=[1, 1, CLOSING, 1]), Selection(), ["1 closing think tags"]),
        (attempt(finish_reason="length"), Selection(), ["did not end: length"]),
        (attempt(finish_reason="length"), Selection(ended=False), []),
        (attempt(fallback=5), Selection(), []),
        (attempt(fallback=6), Selection(), ["fallback rate 0.600 is over 0.5"]),
        (attempt(fallback=5, forced=1), Selection(), ["fallback rate 0.556 is over 0.5"]),
        (attempt(fallback=10), Selection(max_fallback=1), []),
        (attempt(fallback=1), Selection(max_fallback=0), ["fallback rate 0.100 is over 0"]),
        (attempt(verdict="timeout", finish_reason="repetition", tokens=0, tags=0), Selection(),
         ["verdict is timeout", "0 closing think tags", "did not end: repetition"]),
    ],
)  # fmt: skip
def test_reasons(trace, selection, expected):
    assert reasons(trace, selection, CLOSING) == expected


def test_a_student_without_a_closing_tag_is_not_asked_for_one():
    assert reasons(attempt(tags=0), Selection(), closing_id=None) == []


def test_the_shortest_is_picked_per_problem_and_the_lower_attempt_among_equals():
    traces = [
        attempt(3, tokens=5),
        attempt(0, tokens=8, problem_id="q"),
        attempt(0, tokens=4, verdict="incorrect"),
        attempt(2, tokens=6),
        attempt(1, tokens=5),
        attempt(0, tokens=4, tags=0, problem_id="none"),
    ]
    picked = [(trace.problem_id, trace.attempt) for trace in select(traces, Selection(), CLOSING)]
    assert picked == [("p", 1), ("q", 0)]
    everything = select(traces, Selection(pick="all"), CLOSING)
    assert [(trace.problem_id, trace.attempt) for trace in everything] == [("p", 3), ("p", 2), ("p", 1), ("q", 0)]


def test_mistakes_in_a_selection():
    with pytest.raises(ValueError, match="max_fallback is 50, expected a share from 0 to 1"):
        Selection(max_fallback=50)
    with pytest.raises(ValueError, match="pick is 'longest', expected one of shortest, random, surprisal, all"):
        Selection(pick="longest")


def main(job: str, run: str, count: str = "1") -> None:
    """What a test asks of another process."""
    if job == "limited":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    store, added = opened(Path(run)), 0
    if job == "fork":
        if child := os.fork():
            print(child, flush=True)
        time.sleep(60)
    done = store.done()
    try:
        for index in range(int(count)):
            problem, trace = make(index)
            if (problem.id, trace.attempt) not in done:
                store.add(problem, trace)
                added += 1
                if added == 1:
                    print("ready", flush=True)
    except DiskFull as error:
        print(added, f"DiskFull: {error}", sep="\n", flush=True)
        return
    if job == "hold":
        time.sleep(60)
    store.close()
    print(f"added {added}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])


def test_a_database_that_is_a_link_to_nothing_is_refused_and_nothing_is_made(tmp_path):
    (tmp_path / "traces.sqlite").symlink_to("nothing")
    with pytest.raises(ValueError, match="traces.sqlite: a link to nothing, expected the database of a run"):
        Store.open(tmp_path, CONFIG, {})
    assert [path.name for path in tmp_path.iterdir()] == ["traces.sqlite"]
