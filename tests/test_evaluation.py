"""`ownwords eval` and `ownwords compare`, whole: real models, real runs, real files."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import make
from huggingface_hub import parse_eval_result_entries
from transformers.utils.logging import disable_progress_bar

from ownwords.answers.checker import Checker
from ownwords.evaluation.answering import prepare
from ownwords.evaluation.benchmarks import KNOWN, Benchmark, read_benchmark, shuffle_options
from ownwords.evaluation.compare import compare
from ownwords.evaluation.config import EvalConfig
from ownwords.evaluation.references import judge_references
from ownwords.evaluation.results import score
from ownwords.evaluation.table import read_answers
from ownwords.generation.run import generate
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem
from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.traces.store import Store

WORLD = dict(benchmark="world:size=12,seed=8", max_tokens=100)


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker() as checker:
        yield checker


def evaluate(checker: Checker, run: Path, **settings) -> dict:
    """An evaluation, and its scores."""
    assert generate(prepare(EvalConfig.of(run=run, **settings)))
    with Store.read(run) as store:
        return score(store, checker)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory, checker) -> tuple[Path, dict]:
    run = tmp_path_factory.mktemp("eval") / "sampled"
    return run, evaluate(checker, run, **WORLD)


@pytest.fixture(scope="module")
def greedy(tmp_path_factory, checker) -> tuple[Path, dict]:
    run = tmp_path_factory.mktemp("eval") / "greedy"
    return run, evaluate(checker, run, **WORLD, greedy=True)


def command(monkeypatch, *words: str | Path) -> int:
    """The exit code of a command that runs in this process, for speed."""
    from ownwords.cli.app import main

    disable_progress_bar()  # the command does it by the environment, which is too late in this process
    monkeypatch.setattr(sys, "argv", ["ownwords", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code


def test_every_answer_is_stored_and_the_scores_are_their_counts(sampled):
    run, scores = sampled
    with sqlite3.connect(run / "traces.sqlite") as db:
        rows = db.execute("SELECT problem_id, verdict, finish_reason, length(token_ids) / 4 FROM traces").fetchall()
    assert len(rows) == 48 and set(Counter(row[0] for row in rows).values()) == {4}
    assert scores["problems"] == scores["groups"] == 12 and scores["samples"] == 4
    values = {name: part["value"] for name, part in scores["scores"].items()}
    correct = Counter(row[0] for row in rows if row[1] == "correct")
    assert 0 < len(correct) < 12, "choose a seed that says something"
    assert values["avg@4"] == pytest.approx(correct.total() / 48)
    assert values["pass@4"] == pytest.approx(len(correct) / 12)
    assert values["avg@4"] <= values["pass@2"] <= values["pass@4"]
    assert values["truncated"] == pytest.approx(sum(row[2] != "stop" for row in rows) / 48)
    assert values["unparsable"] == pytest.approx(sum(row[1] == "unparsable" for row in rows) / 48)
    assert values["tokens"] == pytest.approx(sum(row[3] for row in rows) / 48)
    assert all(part["low"] <= part["value"] <= part["high"] for part in scores["scores"].values())
    assert sum(part["problems"] * part["value"] for part in scores["by_source"].values()) / 12 == values["avg@4"]


def test_one_model_writes_what_it_writes_under_a_gate_that_never_opens(sampled, tmp_path):
    """An evaluation has no teacher; its answers are those of `ownwords generate --gate never`, token by token."""
    settings = dict(problems="world:size=12,seed=8", teacher="student", gate="never", max_tokens=100)
    student = prepare(EvalConfig.of(run=tmp_path / "unused", **WORLD)).engine.student
    student.model.save_pretrained(tmp_path / "student")
    student.tokenizer.save_pretrained(tmp_path / "student")
    _, rollouts = make(tmp_path / "rollouts", **{**settings, "teacher": str(tmp_path / "student")})
    with Store.read(sampled[0]) as store:
        alone = list(store.traces())
    assert [t.token_ids.tolist() for t in alone] == [t.token_ids.tolist() for t in rollouts]
    assert {s for t in alone for s in t.source.tolist()} == {STUDENT, FORCED}
    assert all(np.isnan(t.teacher_logprob).all() and np.isfinite(t.student_logprob).all() for t in alone)


def test_killed_and_started_again_it_has_the_same_answers_and_scores(sampled, tmp_path):
    """`kill -9` as soon as a few answers are there; the second start makes the others."""
    whole, scores = sampled
    run = tmp_path / "run"
    command = [sys.executable, "-m", "ownwords", "eval", "--run", run, "--benchmark", WORLD["benchmark"]]
    command = [*map(str, command), "--max-tokens", "100", "--batch", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and stored(run) < 5:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9 and 5 <= stored(run) < 48
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "avg@4" in done.stdout and "95 % interval" in done.stdout
    assert content(run) == content(whole)
    written = json.loads((run / "scores.json").read_text())
    assert written == {**scores, "interval": written["interval"]}


def stored(run: Path) -> int:
    try:
        with sqlite3.connect(f"file:{run}/traces.sqlite?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM traces").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def content(run: Path) -> list[tuple]:
    with sqlite3.connect(run / "traces.sqlite") as db:
        return db.execute(
            "SELECT problem_id, attempt, token_ids, verdict FROM traces ORDER BY problem_id, attempt"
        ).fetchall()


def test_greedy_answers_are_the_likeliest_tokens(greedy):
    run, scores = greedy
    assert scores["samples"] == 1 and list(scores["scores"])[:2] == ["avg@1", "truncated"]
    with Store.read(run) as store:
        for trace in store.traces():
            assert (trace.student_rank[trace.source == STUDENT] == 1).all()


def test_two_runs_are_compared_on_what_both_have(sampled, greedy, checker, tmp_path):
    """Sampled against greedy: another number of answers, so the first of each counts."""
    comparison = compare(sampled[0], greedy[0], checker)
    with Store.read(sampled[0]) as one, Store.read(greedy[0]) as other:
        pairs = [read_answers(store) for store in (one, other)]
    first = [{i: a.verdicts[0] == "correct" for i, a in answers.items()} for answers in pairs]
    assert comparison.problems == 12 and comparison.samples == 1 and comparison.left_out == (0, 0)
    assert comparison.before["avg@1"] == pytest.approx(np.mean([*first[0].values()]))
    assert comparison.after["avg@1"] == pytest.approx(np.mean([*first[1].values()]))
    gained = np.mean([first[1][i] - first[0][i] for i in first[0]])
    assert comparison.differences["avg@1"].value == pytest.approx(gained)
    assert comparison.settings == {
        "student_sampling.temperature": ("0.7", "0.0"), "student_sampling.top_p": ("0.95", "1.0"),
    }  # fmt: skip
    # A run against itself differs in nothing, and is not certain of it.
    itself = compare(greedy[0], greedy[0], checker)
    assert itself.differences["avg@1"].value == 0 and itself.differences["avg@1"].low < 0 and itself.p_value == 1

    # An answer that is missing: later ones do not stand for it, and its problem is known by the earlier ones.
    shutil.copytree(sampled[0], tmp_path / "gap")
    with sqlite3.connect(tmp_path / "gap/traces.sqlite") as db:
        (victim,) = db.execute("SELECT problem_id FROM traces LIMIT 1").fetchone()
        db.execute("DELETE FROM traces WHERE problem_id = ? AND attempt = 2", [victim])
    assert compare(tmp_path / "gap", sampled[0], checker).samples == 2
    with sqlite3.connect(tmp_path / "gap/traces.sqlite") as db:
        db.execute("DELETE FROM traces WHERE problem_id = ? AND attempt = 0", [victim])
    assert compare(tmp_path / "gap", sampled[0], checker).left_out == (0, 1)

    evaluate(checker, tmp_path / "others", benchmark="world:size=3,seed=9", samples=1, max_tokens=30)
    with pytest.raises(ValueError, match=r"share no problem \(they have 3 and 12\)"):
        compare(tmp_path / "others", sampled[0], checker)


def test_problems_that_the_model_was_trained_on_can_be_left_out(sampled, tmp_path):
    config = dict(run=tmp_path / "new", exclude=sampled[0], max_tokens=100)
    prepared = prepare(EvalConfig.of(**config, benchmark="world:size=14,seed=8"))
    with Store.read(sampled[0]) as store:
        assert len(prepared.problems) == 2 and not set(store.problems()) & {p.id for p in prepared.problems}
    assert prepared.remarks == {"left out": f"12 problems that {sampled[0]} has"}
    with pytest.raises(ValueError, match="has all problems of world:size=12,seed=8"):
        prepare(EvalConfig.of(**config, benchmark="world:size=12,seed=8"))


def test_problems_of_one_template_are_resampled_together():
    problems = load_problems("gym:gsm_symbolic,size=30,seed=3")
    templates = Counter(p.metadata["template"] for p in problems)
    assert 1 < len(templates) < 30
    from ownwords.evaluation.table import Answers

    groups = {Answers(p).group for p in problems}
    assert len(groups) == len(templates)
    assert len({Answers(p).group for p in load_problems("gym:chain_sum,size=30,seed=3")}) == 30


GPQA = ["Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Record ID"]


@pytest.fixture
def gpqa(tmp_path) -> Path:
    """A file in the column layout of Idavidrein/gpqa; the questions are ours."""
    file = tmp_path / "gpqa.csv"
    with file.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(GPQA)
        for i in range(40):
            writer.writerow([f"What is {i} + {i}?\nThink.", 2 * i, 2 * i + 1, f"{2 * i}.5", "none of these", f"rec{i}"])
    return file


def test_gpqa_choices_are_shuffled_by_the_seed(gpqa, checker):
    problems = read_benchmark(f"gpqa-diamond={gpqa}", seed=1)
    assert {p.kind for p in problems} == {"choice"} and len(problems) == 40
    for i, problem in enumerate(problems):
        options = problem.metadata["options"]
        assert sorted(options) == sorted([f"{2 * i}", f"{2 * i + 1}", f"{2 * i}.5", "none of these"])
        assert options["ABCD".index(problem.answer)] == f"{2 * i}"
        lines = [f"{letter}) {option}" for letter, option in zip("ABCD", options)]
        assert problem.question == "\n".join([f"What is {i} + {i}?\nThink.", "", *lines])
    # Each letter is right for 10 of 40 on average; fewer than 2 for one of four: probability below 0.1 %.
    assert min(Counter(p.answer for p in problems).values()) >= 2
    assert [p.id for p in read_benchmark(f"gpqa-diamond={gpqa}", seed=1)] == [p.id for p in problems]
    assert sum(a.answer != b.answer for a, b in zip(problems, read_benchmark(f"gpqa-diamond={gpqa}", seed=2))) > 10
    right = problems[0].answer
    wrong = "ABCD"[("ABCD".index(right) + 1) % 4]
    verdicts = [checker.submit(problems[0], a).result() for a in (right, f"({right})", wrong)]
    assert verdicts == ["correct", "correct", "incorrect"]


def test_shuffling_reaches_every_order():
    problem = Problem("q\n\nA) 1\nB) 2\nC) 3", "A", "choice", metadata={"options": ["1", "2", "3"]})
    orders = Counter(tuple(shuffle_options(problem, seed).metadata["options"]) for seed in range(240))
    # 240 draws, 40 of each of 6 orders on average; fewer than 15 of one: probability below 1e-5.
    assert len(orders) == 6 and min(orders.values()) >= 15


def test_a_benchmark_of_the_hub_is_read_through_datasets(tmp_path, monkeypatch):
    """The path to the hub, with a folder of data files in the hub's place."""
    (tmp_path / "arith").mkdir()
    rows = [{"question": f"{i} and {i}?", "final_ans": str(2 * i)} for i in range(3)]
    (tmp_path / "arith/test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setitem(KNOWN, "arith", Benchmark(str(tmp_path / "arith"), "test", answer_field="final_ans"))
    assert [(p.question, p.answer) for p in read_benchmark("arith")] == [
        (f"{i} and {i}?", str(2 * i)) for i in range(3)
    ]
    assert [p.answer for p in read_benchmark("arith", limit=2)] == ["0", "2"]


def test_scores_in_the_shape_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text("\n".join(json.dumps({"problem": f"{i} + 1 =", "answer": i + 1}) for i in range(4)))
    words = ["eval", "--run", "run", "--benchmark", "math500=mine.jsonl", "--samples", "2", "--max-tokens", "60"]
    assert command(monkeypatch, *words, "--eval-results", "math500.yaml") == 0
    scores = json.loads(Path("run/scores.json").read_text())
    [entry] = parse_eval_result_entries(yaml.safe_load(Path("math500.yaml").read_text()))
    assert entry.dataset_id == "HuggingFaceH4/MATH-500"
    assert entry.value == round(100 * scores["scores"]["avg@2"]["value"], 2)
    assert "avg@2 over 4 problems" in entry.notes and "T 0.7, top-p 0.95" in entry.notes


WRONG = [
    (("eval",), "--run requires an argument"),
    (("eval", "--run", "new", "--benchmark", "gsm9k"), "error: --benchmark 'gsm9k' names nothing: expected a"),
    (("eval", "--run", "new", "--benchmark", "bad.jsonl"), "(1 bad row of 2: mend them)"),
    (("eval", "--run", "new", "--benchmark", "none.jsonl", "--answer-field", "a"), "none.jsonl: no such file"),
    (("eval", "--run", "new", "--benchmark", "gsm8k"), "hf:openai/gsm8k,split=test,config=main: cannot read"),
    (("eval", "--run", "new", "--benchmark", "gsm8k=none.jsonl"), "none.jsonl"),
    (("eval", "--run", "new", "--samples", "0"), "samples is 0, expected a whole number from 1 to 1000"),
    (("eval", "--run", "new", "--greedy", "--samples", "4"), "always answers the same: expected 1"),
    (("eval", "--run", "new", "--greedy", "--sampling.top-p", "0.9"), "exclude each other"),
    (("eval", "--run", "new", "--sampling.temperature", "-1"), "temperature is -1.0"),
    (("eval", "--run", "new", "--model", "nowhere/none"), "cannot load the model 'nowhere/none'"),
    (("eval", "--run", "new", "--model-device", "cuda"), "--model-device is cuda"),
    (("eval", "--run", "new", "--eval-results", "x.yaml"), "'world' names no data set of the hub"),
    (("eval", "--run", "new", "--benchmark", "gsm8k", "--eval-results", "here.yaml"), "here.yaml exists already"),
    (("eval", "--run", "run", "--benchmark", "world:size=12,seed=8", "--max-tokens", "99"), "max_tokens: 100 -> 99"),
    (("compare", "run", "nowhere"), "nowhere does not exist"),
    (("compare", "run"), "--after requires an argument"),
    (("check-references", "none.jsonl"), "none.jsonl"),
    (("check-references", "nowhere"), "error: --benchmark 'nowhere' names nothing"),
    (("check-references", "bad.jsonl"), "(1 bad row of 2: mend them)"),
    (("check-references", "bad.jsonl", "--question-field", "q"), "(2 bad rows of 2: no row can be read)"),
    (("check-references", "none.jsonl", "--limit", "0"), "--limit is 0, expected"),
    (("generate", "--run", "new", "--teacher", "none"), "expected --gate never"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:60] if isinstance(x, tuple) else "")
def test_wrong_input_is_one_line_and_exit_code_2(sampled, tmp_path, words, message, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(sampled[0])
    Path("here.yaml").write_text("mine")
    Path("bad.jsonl").write_text('{\n{"question": "q", "answer": 1}\n')
    code, error = command(monkeypatch, *words), capfd.readouterr().err
    assert code == 2, error
    assert message in error and "Traceback" not in error
    assert len(error.strip().splitlines()) == 1, error
    assert not Path("new").exists() and Path("here.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["eval", "compare", "check-references"])
def test_help_reads_well(name, monkeypatch, capfd):
    assert command(monkeypatch, name, "--help") == 0
    shown = capfd.readouterr()
    assert f"Usage: ownwords {name}" in shown.out and shown.err == ""


def test_compare_and_check_references_as_commands(sampled, greedy, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "200")
    assert command(monkeypatch, "compare", sampled[0], greedy[0]) == 0
    shown = capfd.readouterr().out
    assert "12 problems x 1, paired" in shown and "student_sampling.temperature: 0.7 -> 0.0" in shown
    (tmp_path / "two.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n{"question": "why?", "answer": "}{"}\n')
    assert command(monkeypatch, "check-references", tmp_path / "two.jsonl") == 0
    shown = capfd.readouterr().out
    assert "unparsable: }{" in shown and "1 of 2 references are judged correct (50.0%) in each of" in shown


def test_spellings_that_are_refused_are_told(checker):
    """The list cannot be read, so only its very words pass: not the other order, in which a model may well write it."""
    problems = [
        Problem("Which?", r"x \equiv 1, y \equiv 2"), Problem("How long?", "1.5 hours"), Problem("What?", "(1,2]"),
        Problem("Which?", "B", kind="choice", metadata={"options": ["5", "10"]}),
    ]  # fmt: skip
    unread, *others = judge_references(problems, checker)
    assert unread.verdicts[unread.problem.answer] == "correct"
    assert unread.refused == {
        r"y \equiv 2, x \equiv 1": "unverifiable",
        r"x \equiv 1 \text{ and } y \equiv 2": "unverifiable",
        r"\{x \equiv 1, y \equiv 2\}": "unverifiable",
    }
    assert [reference.refused for reference in others] == [{}, {}, {}]
    tried = [set(reference.verdicts) for reference in others]
    assert tried[0] >= {"1.5", r"\frac{3}{2}", r"1\frac{1}{2}", "1.5 hours."}
    assert tried[1] >= {r"\left(1,2\right]", "$(1,2]$"} and tried[2] >= {"(B)", "b", "B) 10", r"\textbf{(B)}"}


SETS = {
    "math500/test.jsonl": 500, "aime_amc/aime24.jsonl": 30, "aime_amc/aime25.jsonl": 30, "aime_amc/amc23.jsonl": 40,
    "small_sets/svamp_test.jsonl": 1000, "small_sets/mawps_multiarith.jsonl": 580, "gsm8k/test.jsonl": 1319,
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_gold_answers_of_real_benchmarks_score_100_percent(data, checker, name):
    """Read as they are (20 questions of MultiArith recur); each reference given as models would write it."""
    problems = read_benchmark(str(data / name))
    assert len(problems) == SETS[name]
    references = judge_references(problems, checker)
    assert [(r.problem.answer, r.refused) for r in references if r.refused] == []
    assert sum(len(r.verdicts) for r in references) > 5 * len(problems)


def test_lm_evaluation_harness_agrees(tmp_path):
    """The same prompts, greedy: the same texts, and the same verdicts but where a text comparison is too strict."""
    from lm_eval_crosscheck import gap, ours, text_of, theirs

    config = EvalConfig.of(
        run=tmp_path / "run", benchmark="world:size=36,seed=5", model_dtype="float32", greedy=True, max_tokens=200,
        model_device="cpu", repetition_window=0,
    )  # fmt: skip
    prepared, traces = ours(config)
    accuracy, seen = theirs(prepared, tmp_path)
    assert len(seen) == len(traces) == 36
    references = {p.id: p.answer for p in prepared.problems}
    for i, (text, right) in seen.items():
        trace = traces[i]
        assert text == text_of(prepared, trace) or gap(prepared, trace, text) < 1e-3
        if text == text_of(prepared, trace) and right != (trace.verdict == "correct"):
            assert trace.verdict == "correct" and trace.answer != references[i]
    assert accuracy == pytest.approx(np.mean([right for _, right in seen.values()]))
    assert 0 < accuracy < 1, "choose a seed that says something"
