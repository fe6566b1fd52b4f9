"""Selection, teachers compared, and the analysis: pure functions on hand-made rows, and the commands on real files."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import make

from ownwords.cli.app import main
from ownwords.models.load import model_path
from ownwords.suitability.choose import Rule, choose
from ownwords.suitability.kinds import KINDS, STEP_CLASSES, kind_behind, step_class, token_kinds
from ownwords.suitability.scoring import score
from ownwords.suitability.stored import Scores
from ownwords.suitability.survey import ScoreConfig
from ownwords.suitability.teachers import compare
from ownwords.traces.store import Store


def row(problem: str, rsr: float | None, attempt: int = 0, **other) -> dict:
    usual = {"source": "a", "verdict": "correct", "skipped": "", "length": 10, "grape": 0.5, "local_naturalness": None}
    return {"problem_id": problem, "attempt": attempt, "rsr": rsr, **usual, **other}


ROWS = [
    row("p", 3.0, 0, source="a", grape=0.9, length=30),
    row("p", 2.0, 1, source="b", verdict="incorrect", length=20),
    row("p", 2.5, 2, source="b", length=10),
    row("q", 4.0, 0, source="a"),
    row("q", 5.0, 1, source="b", verdict="incorrect"),
    row("r", None, 0, skipped="no response"),
]


def chosen(rule: Rule, rows: list[dict] = ROWS) -> list[int]:
    return [i for i, choice in enumerate(choose(rows, rule)) if choice.chosen]


def test_rules_by_hand():
    assert chosen(Rule()) == [1, 3]
    assert chosen(Rule(correct=True)) == [2, 3]
    assert chosen(Rule(by="grape")) == [0, 3]
    assert chosen(Rule(by="length")) == [2, 3]
    assert chosen(Rule(per_problem=2)) == [1, 2, 3, 4]
    assert chosen(Rule(per_problem=0)) == [0, 1, 2, 3, 4]
    assert chosen(Rule(per_problem=0, share=0.4)) == [1, 2]
    assert chosen(Rule(per_problem=0, count=3)) == [0, 1, 2]
    assert chosen(Rule(per_problem=0, count=4, balance=True)) == [0, 1, 2, 3]
    assert chosen(Rule(per_problem=0, count=2, balance=True)) == [0, 1]
    assert chosen(Rule(by="local_naturalness")) == []


def test_every_trace_is_told_why():
    assert [choice.why for choice in choose(ROWS, Rule(correct=True))] == [
        "rsr 3: its problem has its 1",
        "verdict is incorrect",
        "rsr 2.5: number 1 of 2 at its problem",
        "rsr 4: number 1 of 1 at its problem",
        "verdict is incorrect",
        "not scored: no response",
    ]
    why = [choice.why for choice in choose(ROWS, Rule(per_problem=0, count=2, balance=True))]
    assert why[2] == "rsr 2.5: b has its 1" and why[3] == "rsr 4: a has its 1"
    assert choose(ROWS, Rule(per_problem=0, count=1))[2].why == "rsr 2.5: the selection has its 1"
    assert choose(ROWS, Rule(by="local_naturalness"))[0].why == "has no local_naturalness"


def test_random_depends_on_the_seed_alone():
    rows = [row(f"p{i % 20}", 1.0, i // 20) for i in range(200)]
    taken = chosen(Rule(by="random", seed=1), rows)
    assert len(taken) == 20 and taken == chosen(Rule(by="random", seed=1), rows) != chosen(Rule(by="random"), rows)
    shuffled = chosen(Rule(by="random", seed=1), rows[::-1])
    assert sorted(199 - i for i in shuffled) == taken


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "rsrr"}, "there is no score 'rsrr': did you mean rsr?"),
        ({"per_problem": -1}, "per_problem is -1"),
        ({"share": 0.0}, "share is 0.0, expected a share above 0, up to 1"),
        ({"count": 0}, "count is 0"),
    ],
)
def test_rules_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Rule(**settings)


def teacher(rng: np.random.Generator, n: int, rank: float, hard: np.ndarray) -> list[dict]:
    surprisal = 0.5 + hard[:n] + 0.2 * rng.random(n)
    ranks = rank * surprisal * (0.8 + 0.4 * rng.random(n))
    return [
        {"problem_id": f"{i}", "skipped": "", "mean_rank": r, "mean_surprisal": s, "below_1": 0.1, "length": 9}
        for i, (r, s) in enumerate(zip(ranks.tolist(), surprisal.tolist(), strict=True))
    ]


def test_teachers_are_ranked_with_intervals_that_cover():
    """The 95 % interval of a ratio whose true value is known, 200 times: it covers 190 times on average; under 178 or
    over 199 happens by chance once in 4,000 times if it covers 95 %, and the seed is fixed."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        hard = rng.random(150)
        (one,) = compare({"a": teacher(rng, 150, 3.0, hard)}, draws=300)
        covered += one.rsr_interval[0] <= 3.0 <= one.rsr_interval[1]
    assert 178 <= covered <= 199
    hard = rng.random(150)
    sets = {"far": teacher(rng, 150, 5.0, hard), "near": teacher(rng, 100, 3.0, hard)}
    found = compare(sets, draws=300)
    assert [one.name for one in found] == ["near", "far"] and found[0].best == 1.0 and found[0].traces == 100
    expected = sum(r["mean_rank"] for r in sets["near"]) / sum(r["mean_surprisal"] for r in sets["near"])
    assert found[0].rsr == pytest.approx(expected)
    with pytest.raises(ValueError, match="empty has no trace with scores"):
        compare({**sets, "empty": [{**sets["far"][0], "skipped": "too long"}]})


def test_equal_teachers_are_not_told_apart():
    rng = np.random.default_rng(1)
    hard = rng.random(150)
    rows = teacher(rng, 150, 3.0, hard)
    one, other = compare({"a": rows, "b": teacher(rng, 150, 3.0, hard)}, draws=300)
    assert one.rsr_interval[0] < other.rsr < one.rsr_interval[1] and 0.02 < other.best < 0.98


def kinds_of(*pieces: str) -> list[str]:
    return [KINDS[kind] for kind in token_kinds(pieces, np.zeros(len(pieces), bool))]


def test_kinds_of_tokens():
    said = (
        "Wait",
        ",",
        " so",
        " the",
        " su",
        "m",
        " is",
        " ",
        "4",
        "2",
        " -",
        " 1",
        " =",
        " 41",
        ".",
        "\n\n",
        "There",
        "fore",
    )
    assert kinds_of(*said) == [
        "reflection", "punctuation", "connective", "word", "word", "word", "word", "white space", "number", "number",
        "formula", "number", "formula", "number", "punctuation", "white space", "connective", "connective",
    ]  # fmt: skip
    assert kinds_of("so", "lid") == ["word", "word"]  # "so" begins a longer word
    assert kinds_of(" $", "x", "+", "2", "$", " well", "-", "known") == [
        "formula", "formula", "formula", "number", "formula", "connective", "punctuation", "word",
    ]  # fmt: skip
    assert kinds_of(" \\", "frac", "{", "1", "}") == ["formula", "formula", "formula", "number", "formula"]
    assert kinds_of("```", "so", " x = 1", "```", " so") == ["code", "code", "code", "code", "connective"]
    assert kinds_of(" let", " me", " check", " make", " sure") == [
        "word", "word", "reflection", "reflection", "reflection",
    ]  # fmt: skip
    assert token_kinds(["<x>", ""], np.array([True, False])).tolist() == [KINDS.index("special"), 0]
    assert KINDS[kind_behind("It is done. ", "Okay")] == "connective"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wait, is that so?", "reflection"),
        ("I should verify this.", "reflection"),
        ("That's correct.", "reflection"),
        ("Alternatively, take 3.", "transition"),
        ("There is another way to see it.", "transition"),
        ("Alternatively, let me check.", "reflection"),
        ("Waiting helps; 3 + 4 = 7.", "execution"),
        ("", "execution"),
    ],
)
def test_classes_of_steps(text, expected):
    assert step_class(text) == expected and expected in STEP_CLASSES


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A run in which the student is made to speak, its scores, and those of a second set."""
    folder = tmp_path_factory.mktemp("here")
    student = model_path("world", "student")
    make(folder / "run", problems="world:size=8,seed=4", teacher=student, gate="threshold:0.7", attempts=3,
         max_tokens=150, max_fallback=1.0)  # fmt: skip
    with Store.read(folder / "run") as store:
        questions = [problem.question for problem in store.problems().values()]
    rows = [{"problem": q, "generation": "Okay, so I think about it. Wait, let me see.\n\nIt is 7."} for q in questions]
    (folder / "odd.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for name in ("run", "odd.jsonl"):
        out = folder / f"scores-{name.partition('.')[0]}"
        score(ScoreConfig(traces=str(folder / name), student="world", out=out), {})
    return folder


def ownwords(monkeypatch, here: Path, *words: object) -> int:
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "argv", ["ownwords", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code


def test_select_writes_what_a_trainer_reads_and_why(here, tmp_path, monkeypatch, capfd):
    words = ("select", "scores-run", "scores-odd", "--out", tmp_path / "out", "--per-problem", "2", "--balance")
    assert ownwords(monkeypatch, here, *words) == 0
    assert "32 traces by rsr: odd" in capfd.readouterr().out
    choices = pq.read_table(tmp_path / "out/choices.parquet").to_pylist()
    assert len(choices) == 32 and all(choice["why"] for choice in choices)
    taken = {(choice["scores"], choice["trace"]) for choice in choices if choice["chosen"]}
    sft = pq.read_table(tmp_path / "out/sft.parquet").to_pylist()
    sources = Counter(row["source"] for row in sft)
    assert len(sft) == len(taken) and sources.keys() == {"run", "odd"} and max(sources.values()) <= 8 < len(sft)
    with Store.read(here / "run") as store:
        made = {(trace.problem_id, trace.attempt): trace for trace in store.traces()}
    for line in sft:
        assert len(line["input_ids"]) == len(line["labels"]) == len(line["completion_mask"])
        if line["source"] == "run":
            trace = made[line["problem_id"], line["attempt"]]
            assert line["input_ids"] == [*trace.prompt_ids, *trace.token_ids]
            start = len(trace.prompt_ids) + 2
            assert line["labels"] == [-100] * start + line["input_ids"][start:]
    lines = [json.loads(text) for text in (tmp_path / "out/sft.jsonl").read_text().splitlines()]
    assert lines == sft
    assert ownwords(monkeypatch, here, *words) == 2 and "holds sft.parquet" in capfd.readouterr().err
    assert ownwords(monkeypatch, here, *words, "--overwrite") == 0
    # and what was written is a trace set again
    summary = score(ScoreConfig(traces=str(tmp_path / "out/sft.parquet"), student="world", out=tmp_path / "again"), {})
    assert summary["all"]["traces"] == len(sft)
    before = {row["problem_id"] + row["source"]: row["rsr"] for row in Scores.read(here / "scores-odd").traces()}
    for again in Scores.read(tmp_path / "again").traces():
        if again["source"] == "odd":
            assert again["rsr"] == pytest.approx(before[again["problem_id"] + "odd"], rel=1e-4)


def test_compare_teachers_says_who_comes_first(here, tmp_path, monkeypatch, capfd):
    words = ("compare-teachers", "run", "odd.jsonl", "--student", "world", "--out", tmp_path / "out", "--sample", "8")
    assert ownwords(monkeypatch, here, *words) == 0
    assert "odd.jsonl" in capfd.readouterr().out
    standings = json.loads((tmp_path / "out/teachers.json").read_text())
    assert {one["name"] for one in standings} == {"run", "odd.jsonl"} and all(one["traces"] == 8 for one in standings)
    assert standings[0]["rsr"] < standings[1]["rsr"]
    rows = Scores.read(tmp_path / "out/1").traces()
    expected = sum(r["mean_rank"] for r in rows) / sum(r["mean_surprisal"] for r in rows)
    assert next(one["rsr"] for one in standings if one["name"] == "odd.jsonl") == pytest.approx(expected)


def test_analysis_counts_every_free_token_once(here, tmp_path, monkeypatch, capfd):
    assert ownwords(monkeypatch, here, "analyse", "run", "--out", tmp_path / "run.json") == 0
    assert "tokens by kind" in capfd.readouterr().out
    tables = json.loads((tmp_path / "run.json").read_text())
    with Store.read(here / "run") as store:
        traces = list(store.traces())
    free = sum(int((trace.source != 2).sum()) for trace in traces)
    spoken = sum(int((trace.source == 1).sum()) for trace in traces)
    refused = sum(int(((trace.source == 1) & (trace.refused_id >= 0)).sum()) for trace in traces)
    assert spoken > 20
    for title, rows in tables.items():
        if title.startswith("tokens"):
            counted = [row for row in rows if not row[""].startswith("(")]
            assert sum(row["tokens"] for row in counted) == free, title
            assert sum(row["tokens"] * row["by_student"] for row in counted) == pytest.approx(spoken), title
            assert sum(row["share"] for row in counted) == pytest.approx(1), title
    by_kind = tables["refused, by kind of what the teacher wanted"]
    assert sum(row["refused"] for row in by_kind) == refused
    assert sum(row["accepted"] for row in by_kind) == free - spoken
    assert sum(row["times"] for row in tables["refused and written instead, by kind"]) == refused
    assert len(tables["refused and written instead, by token"]) <= 15


def test_analysis_of_scores_finds_the_odd_words(here, tmp_path, monkeypatch, capfd):
    assert ownwords(monkeypatch, here, "analyse", "scores-odd", "--out", tmp_path / "odd.json") == 0
    tables = json.loads((tmp_path / "odd.json").read_text())
    kinds = {row[""]: row for row in tables["tokens by kind"]}
    assert kinds["reflection"]["tokens"] >= 8 and kinds["reflection"]["below"] > 0.5
    assert "by_student" not in kinds["reflection"] and len(tables) == 3
    steps = {row[""]: row["steps"] for row in tables["tokens by what their step does"]}
    assert steps == {"execution": 16}
    capfd.readouterr()
    for words, message in (
        (("analyse", "scores-odd", "--threshold", "2"), "threshold is 2.0, expected a probability"),
        (("analyse", "odd.jsonl"), "is no scores directory"),
        (("analyse", "none"), "does not exist"),
        (("analyse", "run", "--out", tmp_path / "odd.json"), "exists already"),
        (("select", "run", "--out", "new"), "is no scores directory"),
        (("select", "--out", "new"), "no scores directory is given"),
        (("select", "scores-odd", "--out", "new", "--by", "rsrr"), "did you mean rsr?"),
        (("select", "scores-odd", "--out", "new", "--correct"), "none of 8 traces is eligible"),
        (("select", "scores-odd", "--out", "odd.jsonl"), "is a file, expected a directory"),
        (("compare-teachers", "run", "--student", "world", "--out", "new"), "1 trace sets are given"),
        (("score", "none", "--student", "world", "--out", "new"), "does not exist: expected a run directory"),
        (("score", "odd.jsonl", "--student", "nobody/none", "--out", "new"), "cannot load the student"),
        (("score", "odd.jsonl", "--student", "world", "--out", "odd.jsonl"), "is a file, expected a directory"),
        (("score", "odd.jsonl", "--student", "world", "--out", "new", "--workers", "0"), "workers is 0"),
    ):
        assert ownwords(monkeypatch, here, *words) == 2, words
        error = capfd.readouterr().err
        assert message in error and len(error.strip().splitlines()) == 1 and not (here / "new").exists(), error
