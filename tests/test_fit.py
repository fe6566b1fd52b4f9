"""Whether two models fit where the thinking closes and the turn ends: the world pair, and pairs that were spoilt."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make
from transformers import AutoTokenizer

from ownwords.generation.pilot import fitting
from ownwords.models.load import model_path
from ownwords.traces.fit import CLOSING, END, LEAST, marks, place, remark

RUN = dict(problems="world:size=4,seed=3", attempts=1, max_tokens=200)


def ends_otherwise(folder: Path, role: str) -> str:
    """The world's model of a role with another end of turn in its tokenizer and configuration, as mixed-up files have
    it; its weights know the old one."""
    shutil.copytree(model_path("world", role), folder / role)
    tokenizer = AutoTokenizer.from_pretrained(folder / role)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder / role)
    file = folder / role / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": tokenizer.eos_token_id}))
    return str(folder / role)


def probabilities(line: str) -> dict[str, float]:
    return {who: float(value) for value, who in re.findall(r"([\d.e-]+) by the (\w+)", line)}


def test_the_world_pair_fits(tmp_path):
    prepared, traces = make(tmp_path / "run", **RUN)
    end, closing = fitting(prepared, [tmp_path / "run"])
    ended = [trace for trace in traces if trace.finish_reason == "stop"]
    assert end.endswith(f"in {len(ended)} traces") and closing.startswith(f"{CLOSING}: probability ")
    assert probabilities(end)["student"] == pytest.approx(
        np.mean([np.exp(trace.student_logprob[-1]) for trace in ended]), rel=0.01
    )
    for line in (end, closing):
        assert min(probabilities(line).values()) > 0.1 and "do not fit" not in line


def test_a_teacher_that_ends_its_turn_otherwise_is_told(tmp_path):
    prepared, _ = make(tmp_path / "run", **RUN, teacher=ends_otherwise(tmp_path, "teacher"))
    end, closing = fitting(prepared, [tmp_path / "run"])
    assert probabilities(end)["teacher"] < LEAST < probabilities(end)["student"]
    assert "so the teacher did not expect it there" in end and "do not fit" not in closing


def test_a_student_that_ends_its_turn_otherwise_is_told_by_pilot_and_score(tmp_path, monkeypatch, capsys):
    from ownwords.cli.app import main

    def say(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ownwords", *map(str, words)])
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code == 0
        return " ".join(capsys.readouterr().out.split())

    student = ends_otherwise(tmp_path, "student")
    pilot = ["pilot", "--run", tmp_path / "pilot", "--problems", "world:size=2,seed=3", "--size", 2, "--attempts", 1]
    shown = say(*pilot, "--student", student, "--max-tokens", 60, "--gates", "threshold:0.01", "--batch", 2)
    assert "end of turn: none of 2 attempts came to it; raise --max-tokens" in shown
    assert json.loads((tmp_path / "pilot/pilot.json").read_text())["fit"][0].startswith("end of turn: none of 2")

    set_ = tmp_path / "set.jsonl"
    rows = [
        {"problem": f"What is {n} + 1?", "generation": f"{n} + 1 = {n + 1}\n</think>\n\n\\boxed{{{n + 1}}}"}
        for n in range(5)
    ]
    set_.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = say("score", set_, "--student", student, "--out", tmp_path / "scores")
    assert "end of turn: probability" in shown and "by the student, in 5 traces; below 0.01" in shown
    figures = json.loads((tmp_path / "scores/summary.json").read_text())["fit"]
    assert set(figures) == {END, CLOSING} and figures[END]["traces"] == 5
    assert figures[END]["median_probability"] < LEAST and figures[END]["mean_surprisal"] > -np.log(LEAST)
    fine = say("score", set_, "--student", "world", "--out", tmp_path / "fine")
    assert "end of turn: probability" not in fine


def test_places_and_lines():
    ids = np.array([5, 7, 6, 7, 9])
    assert (place(END, 9, ids), place(END, 7, ids), place(CLOSING, 7, ids), place(CLOSING, 8, ids)) == (
        4,
        None,
        1,
        None,
    )
    assert place(END, 9, ids[:0]) is None
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    assert marks(tokenizer, ["<think>", "</think>"]) == {END: 920, CLOSING: 924}
    assert marks(tokenizer, ["[THINK]", "[/THINK]"]) == {END: 920}
    assert remark(END, 1, {"teacher": 0.5, "student": 0.25}) == (
        "end of turn: probability 0.5 by the teacher and 0.25 by the student, in 1 trace"
    )
    assert "so the teacher and the student did not expect" in remark(END, 2, {"teacher": 0.0, "student": 1e-9})
