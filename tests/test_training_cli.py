"""`ownwords train` and `ownwords merge` as a person meets them: every mistake is one line with exit code 2."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import random_model
from transformers import AutoTokenizer

from ownwords.chat.settings import THINK
from ownwords.models.load import model_path
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.traces.store import Store
from ownwords.training.config import PrefixOptions, TrainConfig
from ownwords.training.fine_tune import prepare
from ownwords.training.upft import TEMPLATE

NO = -100
TOKENIZER = AutoTokenizer.from_pretrained(model_path("world", "student"))
END, OPENING, CLOSING = (TOKENIZER.get_vocab()[token] for token in ("<|im_end|>", "<think>", "</think>"))


def hand_made_run(folder: Path, student: str, verdict: str) -> None:
    """Six problems with an attempt each: two forced tokens, some of the teacher's, two of the student's, the end."""
    rng = np.random.default_rng(0)
    config = {"student": student, "gate": "threshold:0.01", "system": "", "opening": None, "think": list(THINK)}
    with Store.open(folder, config, {}) as store:
        for n in range(6):
            ids = [OPENING, 3, *rng.integers(0, 900, 8 + n).tolist(), CLOSING, 5, END]
            columns = {name: np.zeros(len(ids), dtype) for name, dtype in COLUMNS.items()}
            columns |= dict(token_ids=ids, source=[2, 2, *[0] * (8 + n), 1, 1, 0])
            problem = Problem(f"{n} + 1 =", str(n + 1))
            prompt = rng.integers(0, 900, 5)
            store.add(
                problem, Trace(problem.id, 0, prompt_ids=prompt, **columns, finish_reason="stop", verdict=verdict)
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Trace sets with everything that can be wrong with them, two runs, and a training of other settings."""
    here = tmp_path_factory.mktemp("training-cli")
    rng = np.random.default_rng(0)
    good = [{"input_ids": (ids := rng.integers(0, 900, 8).tolist()), "labels": [NO, NO, *ids[2:]]} for _ in range(20)]

    def write(name: str, *rows: dict) -> None:
        (here / name).write_text("\n".join(map(json.dumps, rows)))

    write("good.jsonl", *good)
    write("empty.jsonl")
    write("nolabels.jsonl", {"input_ids": [1, 2], "text": "hm"})
    write("uneven.jsonl", {"input_ids": [1, 2, 3], "labels": [1, 2]})
    write("floats.jsonl", {"input_ids": [1.5, 2.0], "labels": [1, 2]})
    write("strings.jsonl", {"input_ids": ["a", "b"], "labels": [1, 2]})
    write("foreign.jsonl", good[0], {"input_ids": [3, 150000], "labels": [NO, 150000]})
    write("negative.jsonl", {"input_ids": [3, -1], "labels": [NO, -1]})
    write("shifted.jsonl", {"input_ids": [3, 4, 5], "labels": [4, 5, NO]})
    write("lossless.jsonl", {"input_ids": [3, 4], "labels": [NO, NO]})
    write("list.jsonl")
    (here / "list.jsonl").write_text("[1, 2]\n")
    (here / "broken.jsonl").write_text('{"input_ids": [1')
    write("weights.jsonl", {"input_ids": [3, 4], "labels": [NO, 4], "w": [0.0, -2.0], "v": [1.0]})
    pq.write_table(pa.Table.from_pylist(good).slice(0, 0), here / "empty.parquet")
    (here / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    (here / "table.csv").write_text("input_ids,labels\n1,1\n")
    (here / "occupied").mkdir()
    (here / "occupied/thesis.tex").write_text("do not touch")
    (here / "bare").mkdir()
    student = model_path("world", "student")
    hand_made_run(here / "run", student, "correct")
    hand_made_run(here / "hopeless", student, "incorrect")
    hand_made_run(here / "others", "somebody/else", "correct")
    shutil.copytree(student, here / "other")
    random_model(here / "other", len(TOKENIZER) + 26, seed=0)
    (here / "trained").mkdir()
    (here / "trained/training.json").write_text(json.dumps({"ended": False, "decides": {"seed": 7}}))
    return here


GOOD = ("train", "--data", "good.jsonl", "--student", "world", "--out", "new", "--preset", "world")


def with_data(name: str, *more: str) -> tuple[str, ...]:
    return ("train", "--data", name, "--student", "world", "--out", "new", *more)


WRONG = [
    (("train", "--out", "new"), "--data requires an argument"),
    (("train", "--data", "good.jsonl", "--student", "world"), "--out requires an argument"),
    (("train", "--data", "good.jsonl", "--out", "new"), "--student is not given and files do not say"),
    (with_data("none.jsonl"), "none.jsonl: no such file or directory, expected a run directory"),
    (("train", "--data", "none.jsonl", "--out", "new"), "none.jsonl: no such file or directory, expected a run"),
    (with_data("empty.jsonl"), "has no rows"),
    (with_data("empty.parquet"), "has no rows"),
    (with_data("nolabels.jsonl"), "row 0 has no column labels (its columns: input_ids, text)"),
    (with_data("uneven.jsonl"), "row 0: 3 input_ids and 2 labels, expected two equal lists"),
    (with_data("floats.jsonl"), "no whole numbers, expected token ids"),
    (with_data("strings.jsonl"), "None input_ids and 2 labels"),
    (with_data("foreign.jsonl"), "id 150000 at position 1 is not in the student's vocabulary (its ids go up to "),
    (with_data("negative.jsonl"), "id -1 at position 1 is not in the student's vocabulary"),
    (with_data("shifted.jsonl"), "label 4 at position 0, where the id is 3"),
    (with_data("lossless.jsonl"), "no row to train on: 0 too long, 1 without a token with loss"),
    (with_data("list.jsonl"), "line 1: a JSON list, expected an object"),
    (with_data("broken.jsonl"), "line 1: not JSON"),
    (with_data("broken.parquet"), "cannot read broken.parquet"),
    (with_data("table.csv"), "a file of another kind"),
    (with_data("bare"), "bare holds neither traces.sqlite nor sft.parquet"),
    (with_data("hopeless"), "has 6 attempts, none of which is selected"),
    (with_data("good.jsonl,share=most"), "share is 'most', expected a number"),
    ((*GOOD, "--data", "run,share=0.5"), "the shares of the 2 sets are none, 0.5"),
    (with_data("good.jsonl,share=0.5", "--data", "run,share=0.6"), "1.1 in all: expected shares above 0 that add up"),
    (with_data("run,share=0.001", "--data", "good.jsonl,share=0.999", "--cap-problems", "0"), "cap-problems is 0"),
    (with_data("good.jsonl,share=0.9", "--data", "lossless.jsonl,share=0.1"), "the smallest of the sets (0 rows)"),
    (("train", "--data", "run", "--data", "others", "--out", "new"), "the runs were made for "),
    (with_data("weights.jsonl", "--weights", "w"), "weight -2 at position 1 from column w, expected 0 or more"),
    (with_data("weights.jsonl", "--weights", "v"), "has no column v for every token, which --weights v needs"),
    ((*GOOD, "--mask.source", "teacher"), "has no column source for every token, which --mask.source teacher needs"),
    (with_data("run", "--weights", "pass_masse"), "per-token columns: pass_mass, "),
    ((*GOOD, "--mask.source", "pupil"), 'Choose from: "teacher", "student"'),
    ((*GOOD, "--mask.below", "1.5"), "mask.below is 1.5, expected a probability"),
    ((*GOOD, "--mask.rise", "-1"), "mask.rise is -1.0, expected a probability"),
    ((*GOOD, "--mask.anchors", "nowhere"), "cannot load the early checkpoint 'nowhere'"),
    ((*GOOD, "--mask.anchors", "other"), f"has {len(TOKENIZER) + 26} words, the student {len(TOKENIZER)}"),
    ((*GOOD, "--pick", "random"), "files are taken as they are"),
    ((*GOOD, "--pick", "longest"), "Choose from:"),
    ((*GOOD, "--prefix.tokens", "4"), "holds no text of the problems, which --prefix.template is about"),
    ((*GOOD, "--prefix.tokens", "0"), "prefix.tokens is 0"),
    ((*GOOD, "--prefix.whole", "0.5"), "--prefix.whole without --prefix.tokens"),
    ((*GOOD, "--prefix.tokens", "4", "--prefix.whole", "1"), "prefix.whole is 1.0, expected a share"),
    ((*GOOD, "--prefix.template", "go on"), "expected {question} in it"),
    ((*GOOD, "--max-length", "7"), "20 of 20 traces are longer than 7 tokens, the longest has 8: raise --max-length"),
    ((*GOOD, "--max-length", "7", "--over-length", "drop"), "no row to train on: 20 too long"),
    ((*GOOD, "--cap-tokens", "3"), "--cap-tokens 3 is less than the first trace has"),
    ((*GOOD, "--batch", "10"), "--batch 10 is no multiple of --micro-batch 16"),
    ((*GOOD, "--batch", "0"), "batch is 0"),
    ((*GOOD, "--batch", "32", "--epochs", "1"), "1 step in all, and the rate begins at 0"),
    ((*GOOD, "--epochs", "0"), "epochs is 0.0, expected a number above 0"),
    ((*GOOD, "--steps", "0"), "steps is 0, expected a whole number"),
    ((*GOOD, "--steps", "9", "--epochs", "2"), "--steps is 9 beside --epochs 2.0: give one of them"),
    ((*GOOD, "--problems", "list.jsonl"), "list.jsonl names no problem of good.jsonl: expected ids such as"),
    ((*GOOD, "--problems", "nowhere"), "nowhere: no such file"),
    ((*GOOD, "--learning-rate", "fast"), "--learning-rate"),
    ((*GOOD, "--learning-rate", "nan"), "learning-rate is nan"),
    ((*GOOD, "--warmup", "100"), "warmup is 100.0, expected a share of the steps"),
    ((*GOOD, "--betas", "0.9", "1"), "betas is (0.9, 1.0)"),
    ((*GOOD, "--lora.rank", "0"), "lora.rank is 0"),
    ((*GOOD, "--precision", "fp8"), "fp8"),
    (with_data("good.jsonl", "--preset", "papers"), 'Choose from: "paper", "upft", "world"'),
    ((*GOOD, "--report-to", "trackio"), "trackio is not installed, which this command needs: pip install trackio"),
    ((*GOOD, "--report-to", "notebook"), "notebook"),
    (("train", "--data", "good.jsonl", "--student", "nowhere/none", "--out", "new"), "cannot load the student"),
    (("train", "--data", "good.jsonl", "--student", "world", "--out", "good.jsonl"), "is a file, expected a directory"),
    (("train", "--data", "good.jsonl", "--student", "world", "--out", "occupied"), "is not empty and no training"),
    (("train", "--data", "good.jsonl", "--student", "world", "--out", "occupied", "--overwrite"), "no training"),
    (("train", "--data", "good.jsonl", "--student", "world", "--out", "trained"), "with other settings: "),
    (("merge", "good.jsonl", "--out", "new"), "holds no adapter_config.json"),
    (("merge", "other", "--out", "new"), "holds no adapter_config.json"),
]  # fmt: skip


def main(*words: str) -> int:
    """The exit code of the command line, run in this process."""
    from ownwords.cli import app

    sys.argv = ["ownwords", *map(str, words)]
    with pytest.raises(SystemExit) as exit:
        app.main()
    return exit.value.code


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:70] if isinstance(x, tuple) else "")
def test_wrong_input_is_one_line_and_exit_code_2(folder, words, message, monkeypatch, capfd):
    # SQLite's shared memory is touched by reading
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.suffix != ".sqlite-shm"}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [])
    if "trackio" in words:
        monkeypatch.setattr("ownwords.cli.train.find_spec", lambda name: None if name == "trackio" else name)
    code = main(*words)
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert code == 2 and len(error) == 1 and message in error[0], error
    assert not (folder / "new").exists()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items()), "a file was changed"


def plan(folder, capfd, monkeypatch, *words: str) -> str:
    """What --dry-run prints, as one line."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [])
    capfd.readouterr()
    assert main("train", *words, "--out", "dry", "--dry-run") == 0
    assert not (folder / "dry").exists()
    return " ".join(capfd.readouterr().out.replace("│", " ").split())


def test_dry_run_prints_the_plan_and_trains_nothing(folder, capfd, monkeypatch):
    said = plan(folder, capfd, monkeypatch, "--data", "good.jsonl", "--student", "world")
    assert "data good.jsonl: 20 of 20 traces" in said and "longest 8 tokens" in said
    assert "160, of which 120 with loss" in said and "10: 5 epochs of 2, batch 16" in said
    assert "1e-05, cosine, warm-up 0.05, weight decay 0.0001, betas 0.9 0.95" in said
    said = plan(folder, capfd, monkeypatch, "--data", "run", "--mask.source", "student", "--epochs", "15")
    assert "no loss 12 tokens by the student" in said and "15: 15 epochs of 1, batch 16" in said
    assert "123, of which 69 with loss" in said
    words = ("--data", "good.jsonl,share=0.75", "--data", "run,share=0.25", "--student", "world")
    said = plan(folder, capfd, monkeypatch, *words, "--cap-problems", "8")
    assert "good.jsonl,share=0.75: 6 of 20 traces" in said and "run,share=0.25: 2 of" in said
    said = plan(folder, capfd, monkeypatch, "--data", "good.jsonl", "--student", "world", "--steps", "7")
    assert "7: 3.5 epochs of 2, batch 16" in said
    words = ("--data", "run", "--preset", "upft", "--epochs", "9", "--prefix.tokens", "5", "--prefix.whole", "0.5")
    said = plan(folder, capfd, monkeypatch, *words)
    assert "3 traces cut to 5 tokens, the others whole" in said and "2e-06, constant, warm-up 0.03" in said


def test_the_prefix_prompt_is_the_students_own_with_the_template(folder, tmp_path):
    whole = prepare(TrainConfig.of(data=[str(folder / "run")], out=tmp_path / "new", preset="world"))
    cut = prepare(
        TrainConfig.of(data=[str(folder / "run")], out=tmp_path / "new", preset="world", prefix=PrefixOptions(tokens=6))
    )
    assert cut.data.prefixes == len(cut.data.rows) == len(whole.data.rows) > 1
    with Store.read(folder / "run") as store:
        problems = store.problems()
    for short, long in zip(cut.data.rows, whole.data.rows, strict=True):
        chat = [{"role": "user", "content": TEMPLATE.replace("{question}", problems[long.problem_id].question)}]
        text = TOKENIZER.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert TOKENIZER.decode(short.input_ids[: short.start]) == text
        expected = [*long.input_ids[long.start :][:5], TOKENIZER.eos_token_id]
        assert short.input_ids[short.start :].tolist() == expected


def test_a_training_by_command_writes_lines_and_says_where(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [])
    words = ("--data", "good.jsonl", "--student", "world", "--preset", "world", "--epochs", "1", "--out")
    assert main("train", *words, tmp_path / "out", "--lora.rank", "2", "--report-to", "tensorboard") == 0
    said = capfd.readouterr().out
    assert "step 1/2 · epoch" in said and "step 2/2" in said and "tokens/s · ETA 0:00:00" in said and "loss" in said
    assert list((tmp_path / "out/tensorboard").rglob("events.out.tfevents*"))
    assert main("merge", tmp_path / "out", "--out", tmp_path / "merged") == 0
    assert (tmp_path / "merged/model.safetensors").exists()
    assert main("merge", tmp_path / "out", "--out", tmp_path / "merged") == 2
    assert "exists already" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["train", "merge"])
def test_help_reads_well(command, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    assert main(command, "--help") == 0
    assert "Usage:" in capfd.readouterr().out
