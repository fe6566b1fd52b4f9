"""`ownwords score` as a run: resumed, shared among workers, refused; and the command line around it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import make, random_model
from transformers import AutoTokenizer

from ownwords.models.load import model_path
from ownwords.records.tokens import Tokens
from ownwords.suitability.pieces import SENTENCE_END, Pieces, steps
from ownwords.suitability.score import all_scores
from ownwords.suitability.scoring import score
from ownwords.suitability.sets import members
from ownwords.suitability.stored import TOKEN_SCHEMA, Scores, trace_schema
from ownwords.suitability.survey import ScoreConfig, survey

BATCH = 16
"""tokens per pass, and so blocks of a few traces each"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> Path:
    """A set of 40 short texts by two writers."""
    path = tmp_path_factory.mktemp("set") / "set.jsonl"
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        a, b = (int(x) for x in rng.integers(1, 60, 2))
        style = f"{a} + {b} = {a + b}" if i % 2 else f"Okay, let me add {b} to {a}. Wait, let me check. It is {a + b}."
        rows.append(
            {"problem": f"{a} + {b} =", "thinking": style, "solution": f"\\boxed{{{a + b}}}", "model": "ab"[i % 2]}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def scored(traces, tmp_path_factory) -> Scores:
    out = tmp_path_factory.mktemp("scored") / "scores"
    score(config(traces, out, local_steps=2), {"python": "3"})
    return Scores.read(out)


def config(traces: Path, out: Path, **settings) -> ScoreConfig:
    return ScoreConfig(traces=str(traces), student="world", out=out, **{"batch_tokens": BATCH, **settings})


def command(traces: Path, out: Path, *words: str) -> list[str]:
    call = ["score", traces, "--student", "world", "--out", out, "--batch-tokens", BATCH, *words]
    return [sys.executable, "-m", "ownwords", *map(str, call)]


def same_rows(one: Path, other: Path) -> None:
    """Equal but for the last digits, which depend on the number of threads; so does the rank among words that tie."""
    for name in ("scores.parquet", "tokens.parquet"):
        mine, theirs = (pq.read_table(path / name) for path in (one, other))
        assert mine.schema == theirs.schema and mine.num_rows == theirs.num_rows
        for column in mine.column_names:
            left, right = mine[column].to_pylist(), theirs[column].to_pylist()
            if column == "rank":
                left, right = np.concatenate(left), np.concatenate(right)
                assert len(left) == len(right) and (left != right).mean() < 0.001
            elif column in ("mean_rank", "rsr"):
                assert left == pytest.approx(right, rel=0.01)
            elif isinstance(left[0], float):
                assert left == pytest.approx(right, rel=1e-4, abs=1e-5), column
            elif isinstance(left[0], list) and isinstance(left[0][0], float):
                left, right = np.concatenate(left), np.concatenate(right)
                assert len(left) == len(right) and np.allclose(left, right, rtol=1e-4, atol=1e-5), column
            else:
                assert left == right, column


def test_files_are_as_documented(scored, traces):
    assert pq.read_schema(scored.path / "scores.parquet") == trace_schema()
    rows, tokens = scored.traces(), pq.read_table(scored.path / "tokens.parquet").to_pylist()
    assert pq.read_schema(scored.path / "tokens.parquet") == TOKEN_SCHEMA
    assert [row["trace"] for row in rows] == [row["trace"] for row in tokens] == list(range(40))
    assert [row["source"] for row in rows] == ["a", "b"] * 20
    assert [row["problem_id"] for row in rows] == [member.problem_id for member in members(str(traces))]
    for row, columns in zip(rows, tokens, strict=True):
        assert row["skipped"] == "" and all(row[name] is not None for name in all_scores())
        assert row["prompt_tokens"] == len(columns["prompt_ids"]) and row["length"] == len(columns["token_ids"])
        assert row["scored_tokens"] == sum(columns["scored"]) == row["length"] - 2  # the forced opening
        assert {len(columns[name]) for name in ("scored", "surprisal", "rank", "entropy", "step")} == {row["length"]}
        assert row["mean_surprisal"] == pytest.approx(np.mean(columns["surprisal"][2:]))
    summary = json.loads((scored.path / "summary.json").read_text())
    assert summary["traces"] == 40 and set(summary["by_source"]) == {"a", "b"}
    assert summary["all"]["scored_tokens"] == sum(row["scored_tokens"] for row in rows)
    assert summary["by_source"]["b"]["mean_surprisal"] < summary["by_source"]["a"]["mean_surprisal"]
    assert pq.ParquetFile(scored.path / "tokens.parquet").num_row_groups >= 4
    assert not (scored.path / "parts").exists()


def test_local_naturalness_equals_each_step_read_alone(scored):
    """Its definition, word by word: every sentence under the problem and the two sentences before it."""
    from ownwords.suitability.forward import Scorer
    from ownwords.suitability.scoring import load

    student = load(model_path("world", "student"), "student", "cpu", "float32")
    scorer = Scorer(student.model, None, "world")
    for row, tokens in list(zip(scored.traces(), scored.tokens(), strict=True))[:6]:
        ids, step, prompt = tokens.token_ids, tokens.step, tokens.prompt_ids
        opening = np.concatenate([prompt, ids[:2]])
        numbers = sorted(set(step[2:].tolist()))
        means = []
        for at, number in enumerate(numbers):
            before = [i for i in range(2, len(ids)) if step[i] in numbers[max(0, at - 2) : at]]
            own = [i for i in range(2, len(ids)) if step[i] == number]
            part = Tokens(prompt_ids=np.concatenate([opening, ids[before]]), token_ids=ids[own])
            (alone,) = scorer.score([part])
            means.append(-alone.surprisal.mean())
        assert len(means) > 1
        assert row["local_naturalness"] == pytest.approx(np.mean(means), rel=1e-4)


def test_steps_are_cut_at_sentences():
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    said = "Okay, 3.5 is it. Wait! So\n\nit is 2."
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    pieces = Pieces(tokenizer)(ids)
    assert "".join(pieces) == said
    step = steps(pieces, SENTENCE_END)
    cut = ["".join(piece for piece, number in zip(pieces, step) if number == n) for n in sorted(set(step.tolist()))]
    assert [part.strip() for part in cut] == ["Okay, 3.5 is it.", "Wait!", "So", "it is 2."]


def test_a_killed_start_goes_on_and_ends_with_the_same_files(scored, traces, tmp_path):
    """kill -9 after the first finished blocks; nothing of these is read again."""
    out = tmp_path / "scores"
    process = subprocess.Popen(command(traces, out, "--local-steps", "2"), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(done := list((out / "parts").glob("*.parquet"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (out / "summary.json").exists():
        pytest.skip("it was finished before it could be killed")
    kept = {path: path.stat().st_mtime_ns for path in done if path.suffix == ".parquet"}
    with pytest.raises(ValueError, match="is not finished: start the same `ownwords score` again"):
        Scores.read(out)
    seen = []
    score(config(traces, out, local_steps=2), {}, plan=lambda total, before: seen.append((total, before)))
    assert len(kept) >= 2 and seen[0][0] == 40 and 0 < seen[0][1] < 40
    same_rows(out, scored.path)


def test_workers_make_the_same_files_also_after_one_was_killed(scored, traces, tmp_path):
    killed, told = [], []

    def kill_one(count: int, tokens: int) -> None:
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    both = config(traces, tmp_path / "scores", local_steps=2, workers=2)
    with pytest.raises(ValueError, match="a worker was killed .exit code -9.*with fewer --workers"):
        score(both, {}, tell=kill_one)
    assert not multiprocessing.active_children()
    before = []
    score(both, {}, tell=lambda *done: told.append(done), plan=lambda total, kept: before.append(kept))
    assert before[0] + sum(count for count, _ in told) == 40
    same_rows(tmp_path / "scores", scored.path)


def test_settings_that_change_the_scores_are_refused_and_others_are_not(scored, traces, tmp_path):
    assert score(config(traces, scored.path, local_steps=2, workers=3), {}) == scored.summary  # finished: nothing to do
    with pytest.raises(ValueError, match="was made with other settings: local_steps: 2 -> 0. Name another --out"):
        score(config(traces, scored.path), {})
    other = tmp_path / "set.jsonl"
    other.write_text(traces.read_text().replace("Okay", "Well"))
    with pytest.raises(ValueError, match="traces: .*; traces_digest: "):
        score(config(other, scored.path, local_steps=2), {})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("")
    with pytest.raises(ValueError, match="is not empty and no scores directory"):
        score(config(traces, tmp_path / "mine"), {})
    with pytest.raises(ValueError, match="workers is 0, expected a whole number from 1 to 1024"):
        config(traces, tmp_path, workers=0)


def test_a_bad_row_stops_before_anything_is_made(traces, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(traces.read_text() + '{"problem": "1 + 1 ="}\n')
    with pytest.raises(ValueError, match="bad.jsonl, line 41: no field 'thinking'"):
        score(config(bad, tmp_path / "scores"), {})
    assert not (tmp_path / "scores").exists()


def test_traces_that_the_student_cannot_read_are_kept_with_the_reason(tmp_path):
    path = tmp_path / "set.jsonl"
    rows = [{"prompt": "1 + 1 =", "completion": text} for text in ("2", "2 " * 3000, "")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = score(config(path, tmp_path / "scores"), {})
    rows = Scores.read(tmp_path / "scores").traces()
    assert [row["skipped"] for row in rows][::2] == ["", "no response"]
    assert rows[1]["skipped"].endswith("tokens, the student reads 4096") and rows[1]["rsr"] is None
    assert summary["skipped"] == {rows[1]["skipped"]: 1, "no response": 1} and summary["all"]["traces"] == 1


def test_a_sample_is_drawn_by_problem(traces, tmp_path):
    """Two sets over the same problems draw the same ones; another seed draws others."""
    other = tmp_path / "other.jsonl"
    lines = traces.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[::-1]))

    def drawn(path: Path, seed: int) -> set[str]:
        found = survey(config(path, tmp_path, sample=10, seed=seed))
        assert found.traces == 10 and len(found.chosen) == 10
        return {member.problem_id for number, member in enumerate(members(str(path))) if number in found.chosen}

    assert drawn(traces, 0) == drawn(other, 0) != drawn(traces, 1)
    assert survey(config(traces, tmp_path, sample=100)).chosen is None


def test_a_run_is_scored_as_it_was_made(tmp_path):
    """The student's columns of a run come out again: same ids, same softmax."""
    _, made = make(
        tmp_path / "run", problems="world:size=6,seed=5", teacher=model_path("world", "student"), attempts=1,
        max_tokens=80,
    )  # fmt: skip
    score(config(tmp_path / "run", tmp_path / "scores"), {})
    for trace, read in zip(made, Scores.read(tmp_path / "scores").tokens(), strict=True):
        assert read.token_ids.tolist() == trace.token_ids.tolist()
        np.testing.assert_allclose(read.student_logprob, trace.student_logprob, rtol=1e-3, atol=1e-5)
        assert (read.student_rank == trace.student_rank).mean() > 0.99


def test_a_student_with_another_tokenizer_reads_the_text_of_a_run(tmp_path):
    make(tmp_path / "run", problems="world:size=2,seed=5", teacher=model_path("world", "student"), attempts=1,
         max_tokens=80)  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    tokenizer.add_tokens(["<|another|>"])
    tokenizer.save_pretrained(tmp_path / "student")
    random_model(tmp_path / "student", len(tokenizer), seed=0)
    settings = ScoreConfig(traces=str(tmp_path / "run"), student=str(tmp_path / "student"), out=tmp_path / "scores")
    assert survey(settings).as_text
    assert score(settings, {})["all"]["traces"] == 2


def test_the_command_prints_the_scores_of_a_finished_directory(traces, scored, monkeypatch, capfd):
    from ownwords.cli.app import main

    monkeypatch.setattr(sys, "argv", ["ownwords", *command(traces, scored.path, "--local-steps", "2")[3:]])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0
    said = capfd.readouterr().out
    assert f"{scored.summary['all']['rsr']:.3f}" in said and "Local Naturalness" in said


def test_ctrl_c_keeps_what_was_scored(traces, tmp_path):
    out = tmp_path / "scores"
    process = subprocess.Popen(command(traces, out, "--local-steps", "2"), stdout=subprocess.PIPE, text=True)
    while not list((out / "parts").glob("*.parquet")):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=200)[0]
    if (out / "summary.json").exists():
        pytest.skip("it was finished before it could be interrupted")
    assert process.returncode == 130 and "is kept" in said
    assert list((out / "parts").glob("*.parquet"))
