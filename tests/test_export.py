"""The exports: values as stored, readable by `datasets`, loss where it belongs, whole files or none."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from ownwords.io.files import DiskFull
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.traces import export as module
from ownwords.traces.cells import ARRAYS
from ownwords.traces.export import export
from ownwords.traces.select import Selection
from ownwords.traces.store import Store

CLOSING, END = 1, 2
ODD = '\u65e5\u672c \U0001f600 \u2028\0 "x\\y" '
PROBLEMS = [Problem(f"{ODD} {n} + 1?", str(n + 1), source="tests", solution=f"{n}+1={n + 1}") for n in range(3)]


def decode(ids: list[int]) -> str:
    return "".join("</think>" if i == CLOSING else chr(i) for i in ids if i != END)


def encode(text: str) -> list[int]:
    before, after = text.split("</think>")
    return [*map(ord, before), CLOSING, *map(ord, after), END]


def trace(problem: Problem, attempt: int, text: str, verdict: str = "correct", **other: object) -> Trace:
    rng = np.random.default_rng(attempt)
    ids = encode(text)
    columns = {name: rng.integers(0, 1000, len(ids)).astype(dtype) for name, dtype in ARRAYS.items()}
    columns |= {"token_ids": np.array(ids), "prompt_ids": [5, 6, 7], "source": np.array([2, 2] + [0] * (len(ids) - 2))}
    for name in ("student_logprob", "teacher_logprob", "refused_prob", "pass_mass"):
        columns[name] = -rng.random(len(ids), dtype=np.float32)
    columns["teacher_logprob"][3], columns["student_logprob"][4] = -np.inf, np.nan
    row = {"finish_reason": "stop", "answer": ODD, **columns, **other}
    return Trace(problem_id=problem.id, attempt=attempt, verdict=verdict, **row)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "run", {"seed": 0}, {}) as store:
        yield store


@pytest.fixture
def full(store):
    """Problem 0: a wrong, a long and a short attempt; problem 1: one correct; problem 2: nothing to select."""
    store.add(PROBLEMS[0], trace(PROBLEMS[0], 0, "\u65e5?</think>0", "incorrect"))
    store.add(PROBLEMS[0], trace(PROBLEMS[0], 1, "a long way \U0001f600</think>1"))
    store.add(PROBLEMS[0], trace(PROBLEMS[0], 2, "short</think>1"))
    store.add(PROBLEMS[1], trace(PROBLEMS[1], 0, "well\0</think>2"))
    store.add(PROBLEMS[2], trace(PROBLEMS[2], 0, "hm ...</think>", "unparsable", finish_reason="length"))
    return store


def write(store, out_dir, **options):
    return export(store, out_dir, Selection(), decode, CLOSING, **options)


def strict_lines(path):
    """JSON lines, read by a parser that refuses NaN and infinities."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_bytes().decode().split("\n")[:-1]]


def without_nan(value):
    """Rows as JSON has them."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def test_problems(full, tmp_path):
    rows = {row["uuid"]: row for row in pq.read_table(write(full, tmp_path / "out")["problems.parquet"]).to_pylist()}
    row = rows[PROBLEMS[0].id]
    assert (row["problem"], row["answer"], row["solution"], row["source"]) == (
        PROBLEMS[0].question, "1", "0+1=1", "tests")  # fmt: skip
    assert row["generations"] == ["\u65e5?</think>0", "a long way \U0001f600</think>1", "short</think>1"]
    assert row["finish_reasons"] == ["stop"] * 3
    assert row["correctness_math_verify"] == [False, True, True]
    assert row["messages"] == [
        {"role": "user", "content": PROBLEMS[0].question},
        {"role": "assistant", "content": "short</think>1"},
    ]
    assert rows[PROBLEMS[2].id]["messages"] == [] and rows[PROBLEMS[2].id]["finish_reasons"] == ["length"]


def test_tokens_equal_the_store(full, tmp_path):
    rows = pq.read_table(write(full, tmp_path / "out")["tokens.parquet"])
    for row, stored in zip(rows.to_pylist(), full.traces(), strict=True):
        assert (row["problem_id"], row["attempt"]) == (stored.problem_id, stored.attempt)
        for name, dtype in ARRAYS.items():
            assert np.array(row[name], dtype).tobytes() == getattr(stored, name).tobytes(), name
        assert (row["verdict"], row["finish_reason"]) == (stored.verdict, stored.finish_reason)
        assert (row["answer"], row["fallback_rate"]) == (ODD, stored.fallback_rate)
    why = {(row["problem_id"], row["attempt"]): row["not_selected_because"] for row in rows.to_pylist()}
    assert why[PROBLEMS[0].id, 0] == "verdict is incorrect"
    assert why[PROBLEMS[0].id, 1] == "attempt 2 is the shortest"
    assert why[PROBLEMS[0].id, 2] == why[PROBLEMS[1].id, 0] == ""
    assert why[PROBLEMS[2].id, 0] == "verdict is unparsable; did not end: length"
    assert [row["selected"] for row in rows.to_pylist()] == [not reason for reason in why.values()]


def test_sft_learns_the_completion_without_its_forced_tokens(full, tmp_path):
    rows = pq.read_table(write(full, tmp_path / "out")["sft.parquet"]).to_pylist()
    assert {(row["problem_id"], row["attempt"]) for row in rows} == {(PROBLEMS[0].id, 2), (PROBLEMS[1].id, 0)}
    row = next(row for row in rows if row["attempt"] == 2)
    completion = encode("short</think>1")
    assert row["input_ids"] == [5, 6, 7, *completion]
    assert row["labels"] == [-100] * 5 + completion[2:]
    assert row["completion_mask"] == [0] * 5 + [1] * (len(completion) - 2)


def test_both_formats_hold_the_same(full, tmp_path):
    paths = write(full, tmp_path / "out")
    for table in module.SCHEMAS:
        rows = pq.read_table(paths[f"{table}.parquet"]).to_pylist()
        assert strict_lines(paths[f"{table}.jsonl"]) == without_nan(rows)
    assert (
        '"teacher_logprob": [' in paths["tokens.jsonl"].read_text() and "\u65e5" in paths["problems.jsonl"].read_text()
    )


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_datasets_reads_them(full, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    paths = write(full, tmp_path / "out")
    for table in module.SCHEMAS:
        path = paths[f"{table}.{'jsonl' if kind == 'json' else kind}"]
        loaded = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert without_nan(loaded.to_list()) == without_nan(pq.read_table(paths[f"{table}.parquet"]).to_pylist())


@pytest.mark.parametrize("stored", [0, 1])
def test_an_empty_run_and_one_with_nothing_selected(store, tmp_path, stored):
    if stored:
        store.add(PROBLEMS[0], trace(PROBLEMS[0], 0, "\u65e5?</think>0", "incorrect"))
    paths = write(store, tmp_path / "out")
    for table, expected in (("problems", stored), ("tokens", stored), ("sft", 0)):
        read = pq.read_table(paths[f"{table}.parquet"])
        assert read.num_rows == expected and read.schema == module.SCHEMAS[table]
        assert len(strict_lines(paths[f"{table}.jsonl"])) == expected


def test_pick_all_takes_every_eligible_one_and_shows_the_shortest(full, tmp_path):
    paths = export(full, tmp_path / "out", Selection(pick="all"), decode, CLOSING)
    assert pq.read_table(paths["sft.parquet"]).num_rows == 3
    shown = {row["uuid"]: row["messages"] for row in strict_lines(paths["problems.jsonl"])}
    assert shown[PROBLEMS[0].id][1]["content"] == "short</think>1"


def test_a_lone_surrogate_becomes_the_replacement_character(store, tmp_path):
    store.add(PROBLEMS[0], trace(PROBLEMS[0], 0, "ab\ud800</think>\ud83d\ude00"))
    paths = write(store, tmp_path / "out")
    expected = ["ab\ufffd</think>\U0001f600"]
    assert pq.read_table(paths["problems.parquet"]).to_pylist()[0]["generations"] == expected
    assert strict_lines(paths["problems.jsonl"])[0]["generations"] == expected


def test_nothing_is_overwritten_without_being_asked(full, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "sft.jsonl").write_text("mine")
    with pytest.raises(ValueError, match="holds sft.jsonl already: name another directory, or set overwrite"):
        write(full, out)
    assert [path.name for path in out.iterdir()] == ["sft.jsonl"] and (out / "sft.jsonl").read_text() == "mine"
    assert len(strict_lines(write(full, out, overwrite=True)["sft.jsonl"])) == 2
    with pytest.raises(ValueError, match="is a file, expected a directory"):
        write(full, out / "sft.jsonl")


@pytest.mark.parametrize("error", [KeyError("decode"), OSError(28, "No space left on device")])
def test_a_failed_export_leaves_what_was_there(full, tmp_path, error):
    paths = write(full, tmp_path / "out")
    before = {name: path.read_bytes() for name, path in paths.items()}

    def failing(ids: list[int]) -> str:
        raise error

    with pytest.raises(DiskFull if isinstance(error, OSError) else KeyError):
        export(full, tmp_path / "out", Selection(), failing, CLOSING, overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_large_run_is_written_in_pieces(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BYTES", 300_000)
    monkeypatch.setattr(module, "ROWS", 5)
    for number in range(12):
        problem = Problem(f"{number}?", "1")
        store.add(problem, trace(problem, number, "x" * 1500 + "</think>1"))
    paths = write(store, tmp_path / "out")
    tokens, problems = (pq.ParquetFile(paths[f"{table}.parquet"]) for table in ("tokens", "problems"))
    assert tokens.metadata.num_rows == problems.metadata.num_rows == 12
    assert tokens.metadata.num_row_groups > 3  # by bytes
    assert problems.metadata.num_row_groups == 3  # by rows
    assert [row["attempt"] for row in tokens.read().to_pylist()] == [stored.attempt for stored in store.traces()]
