"""Answers judged and nothing else: `ownwords.judge` on one output, `ownwords judge` on a file of them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ownwords
from ownwords.answers.checker import Checker
from ownwords.cli.app import app, main
from ownwords.evaluation.outputs import Fields, read_row
from ownwords.records.problem import Problem

ROWS = [
    {"question": "1 + 1?", "answer": "2", "response": "The answer is 2.", "is_correct": True},
    {"question": "1 + 1?", "answer": "2", "response": "<think>3</think>So it is $\\frac{4}{2}$.", "is_correct": False},
    {"question": "1 + 1?", "answer": "2", "response": "no idea", "is_correct": False},
    {"question": "1 + 1?", "answer": "2", "response": "#### 3", "is_correct": True},
    {"question": "Which?", "answer": "B", "response": "The answer is (B).", "is_correct": True},
]


@pytest.mark.parametrize(
    ("reference", "output", "settings", "verdict", "found_by", "rule"),
    [
        ("18", "So she has 18 left.", {}, "correct", "number", "text"),
        ("\\frac{1}{2}", "The answer is 0.5.", {}, "correct", "stated", "number"),
        ("18", "So she has \\boxed{17}.", {}, "incorrect", "boxed", "number"),
        ("18", "I do not know.", {}, "unparsable", "", ""),
        ("18", "The answer is 18.", {"answer_from": "boxed"}, "unparsable", "", ""),
        ("18", "18.0", {"answer_from": "whole"}, "correct", "whole", "text"),
        ("B", "So (B) is correct.", {"kind": "choice"}, "correct", "stated", "choice"),
        ("B", "The answer is 15.", {"options": ["12", "15"]}, "correct", "stated", "choice"),
        ("15", "The answer is (B).", {"options": ["A) 12", "B) 15"]}, "correct", "stated", "choice"),
        ("5", "<think>The answer is 5.</think>The answer is 6.", {}, "incorrect", "stated", "number"),
        ("5", "<think>The answer is 5.", {}, "unparsable", "", ""),
        ("5", "<mull>6</mull>The answer is 5.", {"closing": "</mull>"}, "correct", "stated", "text"),
    ],
)
@pytest.mark.parametrize("deadline", [None, 5.0])
def test_one_call(reference, output, settings, verdict, found_by, rule, deadline):
    """In this process and in the kept one: the same."""
    said = ownwords.judge(reference, output, deadline=deadline, **settings)
    assert (said.verdict, said.found_by, said.rule) == (verdict, found_by, rule)


def test_one_call_tells_how_both_sides_were_read():
    said = ownwords.judge("\\frac{1}{2}", "So the chance is 50%.", deadline=None)
    assert (said.answer, said.verdict) == ("50%", "correct")
    assert said.reference_read and said.answer_read


def test_what_takes_longer_than_its_deadline_is_given_up():
    said = ownwords.judge(
        "\\sqrt{2}", "\\boxed{" + "+".join(f"\\sqrt{{{n}}}" for n in range(2, 90)) + "}", deadline=0.001
    )
    assert (said.verdict, said.found_by, said.rule) == ("timeout", "boxed", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reference": " ", "output": "5"}, "the reference is empty"),
        ({"reference": "7", "output": "5", "options": ["5", "6"]}, "expected one of A, B, or an option's text"),
        ({"reference": "7", "output": "5", "answer_from": "somewhere"}, "expected one of any, boxed, whole"),
        ({"reference": "A", "output": "A", "options": ["x"] * 11}, "at most 10"),
    ],
)
def test_one_call_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        ownwords.judge(**arguments)


def test_the_package_is_light_and_judge_is_no_module():
    code = "import sys, ownwords; print('sympy' in sys.modules or 'torch' in sys.modules, callable(ownwords.judge))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_checker_tells_the_rule_and_the_readings():
    with Checker() as checker:
        said = checker.decide(Problem("q", "\\frac{1}{2}"), "0.50").result()
        assert (said.verdict, said.rule, said.answer) == ("correct", "number", "1/2")
        assert checker.decide(Problem("q", "18"), None).result().verdict == "unparsable"


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"outputs{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(ROWS[0]))
            table.writeheader()
            table.writerows(ROWS)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_file_of_outputs(tmp_path, capsys, suffix):
    out = tmp_path / "judged.jsonl"
    assert not app(["judge", str(written(tmp_path, suffix)), "--out", str(out)])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["correct", "correct", "unparsable", "incorrect", "correct"]
    assert [line["found_by"] for line in lines] == ["stated", "number", "", "marked", "stated"]
    assert [line["grader"] for line in lines] == [True, False, False, True, True]
    assert lines[4]["rule"] == "choice"
    printed = " ".join(capsys.readouterr().out.split())
    assert "5 outputs" in printed and "agrees on 3 of 5 (60.0%)" in printed and "disagreements" in printed
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_there_is_not_replaced_and_nothing_is_left_of_a_failure(tmp_path):
    file = written(tmp_path, ".jsonl")
    out = tmp_path / "judged.jsonl"
    out.write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        app(["judge", str(file), "--out", str(out)], exit_on_error=False)
    assert out.read_text() == "mine"
    file.write_text(file.read_text() + '{"answer": "2"}\n')
    with pytest.raises(ValueError, match="line 6: no field for the output"):
        app(["judge", str(file), "--out", str(tmp_path / "new.jsonl")], exit_on_error=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judged.jsonl", "outputs.jsonl"]


def test_bad_rows_are_named_or_left_out(tmp_path, capsys):
    file = written(tmp_path, ".jsonl")
    file.write_text(file.read_text() + '{"answer": "2"}\n')
    assert not app(["judge", str(file), "--skip-bad-rows", "--show", "0"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "left out: 1 rows" in printed and "line 6" in printed and "disagreements" not in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.jsonl"], "no such file"),
        (["nothing.txt"], "expected a .jsonl"),
        (["FILE", "--limit", "0"], "expected a whole number from 1 up"),
        (["FILE", "--check-deadline", "0"], "expected seconds from 0.1 to 86400"),
        (["FILE", "--kind", "maths"], "unknown kind of answer 'maths', expected one of: choice, gym, math"),
        (["FILE", "--output-field", "words"], "which --output-field names"),
        (["FILE", "--reference-field", "words"], "which --reference-field names"),
        (["FILE", "--grader-field", "response"], "expected a verdict such as true or 0"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    file = written(tmp_path, ".jsonl")
    monkeypatch.setattr(sys, "argv", ["ownwords", "judge", *[str(file) if a == "FILE" else a for a in arguments]])
    with pytest.raises(SystemExit) as exit:
        main()
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.count("\n") == 1 and words in error, error


@pytest.mark.parametrize(
    ("row", "fields", "kind", "reference", "outputs"),
    [
        ({"gt": "5", "code": ["a", "b"], "score": [True, False]}, {}, "math", "5", [("a", True), ("b", False)]),
        ({"target": "so\n#### 1,200", "resps": [["x"]], "exact_match": 1.0}, {}, "math", "1200", [("x", True)]),
        ({"reference": "B", "answer": "C", "output": "x"}, {}, "choice", "B", [("x", None)]),
        ({"reference": "B", "kind": "math", "output": "x"}, {}, "math", "B", [("x", None)]),
        ({"question": "q", "options": ["1", "2"], "answer": 1, "output": "x"}, {}, "choice", "B", [("x", None)]),
        ({"doc": {"gold": "5"}, "text": "x"}, {"reference": "doc.gold"}, "math", "5", [("x", None)]),
        ({"correct": "B", "options": ["1", "2"], "output": "x"}, {}, "choice", "B", [("x", None)]),
        ({"reference": "5", "output": "x", "score": "no"}, {"grader": ""}, "math", "5", [("x", None)]),
        ({"reference": "5", "output": "x", "correct": ""}, {}, "math", "5", [("x", None)]),
    ],
)
def test_layouts_of_outputs(row, fields, kind, reference, outputs):
    problem, read = read_row("here", row, Fields(**fields), None)
    assert (problem.kind, problem.answer, read) == (kind, reference, outputs)
    assert problem.question == row.get("question", "") or "options" in row


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"reference": "5"}, "no field for the output"),
        ({"output": "x"}, "reference_field"),
        ({"reference": "5", "output": 5}, "'output' holds 5, expected the text"),
        ({"reference": "5", "output": ["x", "y"], "score": [1, 0, 1]}, "2 outputs in 'output' and 3 verdicts"),
        ({"reference": "", "output": "x"}, "no reference answer"),
    ],
)
def test_rows_that_cannot_be_read(row, words):
    with pytest.raises(ValueError, match=words):
        read_row("here", row, Fields(), None)
