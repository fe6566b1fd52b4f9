"""What a report says: its counts, what it finds worth a look, its sample, its encoding, and its refusals."""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from report_opening import fill

from ownwords.cli.app import main
from ownwords.models import load as models
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.reports.attention import findings
from ownwords.reports.contents import embedded
from ownwords.reports.figures import MASS_EDGES, RANK_EDGES, SURPRISAL_EDGES, Measured, measure
from ownwords.reports.payload import PARTS, THOUSANDTHS, UNKNOWN, ZERO, Texts, block, shown
from ownwords.reports.pictures import pictures
from ownwords.reports.report import write_report
from ownwords.reports.source import Source
from ownwords.reports.trace_sets import open_sources
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.traces.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("report") / "run", problems=30, attempts=2)


def trace(problem: str = "p", attempt: int = 0, tokens: int = 300, **changes) -> Trace:
    """A plausible trace by the teacher; `changes` are fields."""
    columns = {name: np.zeros(tokens) for name in COLUMNS}
    columns |= {"token_ids": np.arange(tokens), "student_rank": np.ones(tokens), "pass_mass": np.ones(tokens)}
    fields = dict(problem_id=problem, attempt=attempt, prompt_ids=[1], finish_reason="stop", verdict="correct")
    return Trace(**{**fields, **columns, **changes})


def source(traces: list[Trace], name: str = "rsd", gate: str = "threshold:0.01") -> Source:
    problems = {one.problem_id: Problem(f"question {one.problem_id}", "1") for one in traces}

    def read(problem_id: str | None):
        return iter([one for one in traces if problem_id in (None, one.problem_id)])

    return Source(name, gate, {}, {}, problems, read, decode=lambda ids: "".join(f"<{i}>" for i in ids))


def measured(*traces: Trace, **settings) -> Measured:
    return measure(source(list(traces), **settings))


def test_counts_are_those_of_all_tokens_that_are_not_forced(run):
    with open_sources([run]) as [one]:
        seen = measure(one)
        traces = list(one.traces(None))

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(t, name)[t.source != FORCED] for t in traces])

    def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        return np.histogram(values, [*edges, np.inf])[0]

    np.testing.assert_array_equal(seen.surprisal_counts, histogram(-joined("student_logprob"), SURPRISAL_EDGES))
    np.testing.assert_array_equal(seen.rank_counts, histogram(joined("student_rank"), RANK_EDGES))
    np.testing.assert_array_equal(seen.mass_counts, histogram(joined("pass_mass"), MASS_EDGES))
    for at in (0, 2, 50):
        assert seen.free_at[at] == sum(t.source[at] != FORCED for t in traces if len(t.source) > at)
        assert seen.teacher_at[at] == sum(t.source[at] == TEACHER for t in traces if len(t.source) > at)
    assert seen.summary.attempts == len(seen.attempts) == 60
    assert seen.summary.mean_surprisal == pytest.approx(-joined("student_logprob").mean(dtype=np.float64))
    assert seen.speed == pytest.approx(50, rel=0.01)  # as invented


def test_what_nobody_knows_is_not_counted():
    half = np.where(np.arange(300) < 100, np.nan, 0.5)
    seen = measured(trace(pass_mass=half, student_logprob=np.where(np.arange(300) < 10, -np.inf, -1)))
    assert seen.mass_counts.sum() == 200
    assert seen.surprisal_counts[-1] == 10 and seen.surprisal_counts.sum() == 300, "infinite belongs to the last"
    assert seen.attempts[0].implausible == pytest.approx(10 / 300)


def test_what_deserves_a_look_is_found_and_nothing_else():
    by_student = np.full(300, STUDENT)
    loop = np.tile(np.arange(8), 40)[:300]
    rsd = measured(
        trace("good"),
        trace("taken over", source=by_student),
        trace("given up", finish_reason="fallback", verdict="unparsable"),
        trace("round and round", finish_reason="length", token_ids=loop, verdict="incorrect"),
        trace("said so", finish_reason="repetition", verdict="incorrect"),
        trace("too long", finish_reason="length", verdict="incorrect"),
    )
    student = measured(
        trace("good", verdict="incorrect", source=by_student),
        trace("good", 1, verdict="incorrect", source=by_student),
        trace("too long", source=by_student, student_logprob=np.full(300, -3.0)),
        name="student",
        gate="never",
    )
    found = {finding.title: finding.places for finding in findings([rsd, student])}
    assert found == {
        "collapsed": [(0, "taken over", 0), (0, "given up", 0)],
        "loops": [(0, "round and round", 0), (0, "said so", 0)],
        "cut off": [(0, "too long", 0)],
        "no verdict": [(0, "given up", 0)],
        "never solved by rsd": [(0, i, 0) for i in ("given up", "round and round", "said so", "too long")],
        "never solved by student": [(1, "good", 0), (1, "good", 1)],
        "solved by rsd, not by student": [(0, "good", 0), (1, "good", 0), (1, "good", 1)],
        "solved by student, not by rsd": [(0, "too long", 0), (1, "too long", 0)],
        "correct but surprising: rsd": [(0, "good", 0), (0, "taken over", 0)],
        "correct but surprising: student": [(1, "too long", 0)],
    }


def test_a_set_without_verdicts_is_not_called_unsolved():
    seen = measured(trace("a", verdict="unverifiable"), trace("b", verdict="unverifiable"))
    assert [finding.title for finding in findings([seen])] == ["most surprising: rsd"]
    assert "How each attempt ended" not in [picture.title for picture in pictures([seen])]


def test_blocks_hold_every_token_to_the_stated_precision():
    rng = np.random.default_rng(0)
    first = trace(
        tokens=200,
        source=rng.integers(0, 3, 200),
        student_logprob=-rng.exponential(3, 200),
        teacher_logprob=np.where(np.arange(200) < 3, [-np.inf], -rng.exponential(1, 200)),
        student_rank=rng.integers(1, 150_000, 200),
        pass_mass=np.where(np.arange(200) < 5, np.nan, rng.random(200)),
        refused_id=rng.integers(-1, 3, 200),
        refused_prob=rng.random(200),
    )
    second = trace(attempt=1, tokens=7)
    texts, both = Texts(), [first, second]
    raw = zlib.decompress(base64.b64decode(block(both, source(both), texts)))
    total, table, offset = 207, texts.table(), 0
    columns = {}
    kinds = ["<u4"] * 3 + ["<u2"] * 4 + ["u1"]
    names = ["text", "refused", "rank", "student", "teacher", "mass", "refused_prob", "source"]
    for name, kind in zip(names, kinds, strict=True):
        columns[name] = np.frombuffer(raw, kind, total, offset)
        offset += columns[name].nbytes
    assert offset == len(raw)
    assert [table[i] for i in columns["text"]] == [f"<{i}>" for one in both for i in one.token_ids]
    assert [table[i] for i in columns["refused"][:200]] == [f"<{i}>" if i >= 0 else "" for i in first.refused_id]
    np.testing.assert_array_equal(columns["rank"][:200], first.student_rank)
    np.testing.assert_array_equal(columns["source"][:200], first.source)
    np.testing.assert_allclose(columns["student"][:200] / THOUSANDTHS, -first.student_logprob, atol=0.000501)
    np.testing.assert_array_equal(columns["teacher"][:3], ZERO)
    np.testing.assert_allclose(columns["teacher"][3:200] / THOUSANDTHS, -first.teacher_logprob[3:], atol=0.000501)
    np.testing.assert_array_equal(columns["mass"][:5], UNKNOWN)
    np.testing.assert_allclose(columns["mass"][5:200] / PARTS, first.pass_mass[5:], atol=0.51 / PARTS)
    np.testing.assert_allclose(columns["refused_prob"][:200] / PARTS, first.refused_prob, atol=0.51 / PARTS)
    assert block([], source([]), texts) == ""


def test_a_small_budget_gives_a_stated_sample_and_whole_figures(run, tmp_path):
    write_report([run], tmp_path / "whole.html")
    write_report([run], tmp_path / "sample.html", budget=0.03)
    whole, sample = (data_of(tmp_path / f"{name}.html") for name in ("whole", "sample"))
    assert len(whole["problems"]) == whole["total"] == sample["total"] == 30
    assert 1 < len(sample["problems"]) < 30
    assert sum(len(block) for problem in sample["problems"] for block in problem["blocks"]) < 2 * 0.03 * 2**20
    assert sample["overview"] == whole["overview"] and sample["pictures"] == whole["pictures"]
    for of_all, of_some in zip(whole["findings"], sample["findings"], strict=True):
        assert of_some["attempts"] == of_all["attempts"] == len(of_all["places"]) > len(of_some["places"])
        for place, _, attempt in of_some["places"]:
            assert attempt in [one["attempt"] for one in sample["problems"][place]["attempts"][0]]


def test_problems_that_deserve_a_look_come_first():
    good = [trace(f"{i:02}", verdict="unverifiable", tokens=500) for i in range(40)]
    bad = trace("zz", finish_reason="repetition", verdict="unverifiable", tokens=500)
    seen = measured(*good, bad)
    data = embedded([seen], [f for f in findings([seen]) if f.title == "loops"], budget=0.005)
    assert "zz" in [problem["id"] for problem in data["problems"]] and len(data["problems"]) < 41


def data_of(page: Path) -> dict:
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(data)


def test_text_is_cut_and_made_harmless():
    assert shown("\ud800 \u202e \x1b[2J \u2028") == "\ufffd \ufffd ␛[2J \u2028"
    assert shown("y" * 3000) == "y" * 2000 + "… (3,000 characters)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no set is named"),
        (("nothing",), "does not exist"),
        (("empty",), "has no traces.sqlite"),
        (("unmade",), "holds no attempts yet"),
        (("run", "run"), "named twice"),
        (("a", "b", "c", "d", "e"), "5 sets, expected at most 4"),
        (("run", "--out", "taken.html"), "exists already"),
        (("run", "--budget", "0"), "budget is 0.0, expected MiB above 0"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_line(run, tmp_path, words, message, monkeypatch, capfd):
    (tmp_path / "run").symlink_to(run)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.html").write_text("mine")
    Store.open(tmp_path / "unmade", {"student": "world", "gate": "always"}, {}).close()
    code, error = command(tmp_path, monkeypatch, capfd, *words)
    assert code == 2 and message in error and len(error.strip().splitlines()) == 1
    assert (tmp_path / "taken.html").read_text() == "mine"


def test_a_report_is_not_overwritten_unasked(run, tmp_path, monkeypatch, capfd):
    words = ("report", str(run), "--out", "new/report.html")
    assert command(tmp_path, monkeypatch, capfd, *words[1:])[0] == 0
    (tmp_path / "new/report.html").write_text("old")
    assert command(tmp_path, monkeypatch, capfd, *words[1:])[0] == 2
    assert command(tmp_path, monkeypatch, capfd, *words[1:], "--overwrite")[0] == 0
    assert len(data_of(tmp_path / "new/report.html")["problems"]) == 30


def command(folder: Path, monkeypatch, capfd, *words: str, name: str = "report") -> tuple[int, str]:
    """Exit code of `ownwords report` in `folder`, and what it said: to stderr if it failed."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["ownwords", name, *words])
    with pytest.raises(SystemExit) as exit:
        main()
    said = capfd.readouterr()
    return exit.value.code, said.err if exit.value.code else said.out


def test_the_demo_ends_with_its_report_or_says_how_to_get_one(tmp_path, monkeypatch, capfd):
    student = models.model_path("world", "student")
    if not Path(models.model_path("world", "teacher")).is_dir():  # the small world without its teacher
        monkeypatch.setattr(models, "model_path", lambda name, role: student if name == "world" else name)
    words = ("--problems", "2", "--attempts", "1")
    code, said = command(tmp_path, monkeypatch, capfd, *words, name="demo")
    assert code == 0 and said.strip().splitlines()[-1].endswith("runs/demo/report.html")
    data = data_of(tmp_path / "runs/demo/report.html")
    assert [one["name"] for one in data["sets"]] == ["rsd", "teacher", "student"] and len(data["problems"]) == 2

    (tmp_path / "runs/demo/report.html").unlink()
    for name in [name for name in sys.modules if name.startswith("ownwords.reports.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said = command(tmp_path, monkeypatch, capfd, *words, name="demo")
    last = said.strip().splitlines()[-1]
    assert code == 0 and "pip install 'ownwords[report]'" in last and "ownwords report runs/demo/rsd" in last
    assert not (tmp_path / "runs/demo/report.html").exists()
    code, error = command(tmp_path, monkeypatch, capfd, "runs/demo/rsd")
    assert code == 2 and "pip install 'ownwords[report]'" in error and len(error.strip().splitlines()) == 1
