"""A run as a whole: what is owed, what survives, what is refused."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import make

from ownwords.generation.plan import Owed, Plan
from ownwords.records.problem import Problem
from ownwords.traces.store import Store

PROBLEMS = [Problem(question=f"question {i}", answer="1") for i in range(5)]


def play(plan: Plan, verdict, slots: int, rng: random.Random) -> dict[tuple[str, int], str]:
    """Run a plan to its end, attempts ending in random order; returns what was made."""
    made, flying = {}, []
    while True:
        flying += plan.take(slots - len(flying))
        if not flying:
            return made
        problem, attempt = flying.pop(rng.randrange(len(flying)))
        made[problem.id, attempt] = verdict(problem.id, attempt)
        plan.report(problem.id, attempt, made[problem.id, attempt])


@pytest.mark.parametrize("slots", [1, 3, 50])
def test_a_fixed_number_of_attempts_is_made_once_each(slots):
    made = play(Plan(PROBLEMS, {}, Owed(3)), lambda *_: "incorrect", slots, random.Random(0))
    assert set(made) == {(p.id, a) for p in PROBLEMS for a in range(3)}


def test_only_what_is_missing_is_made():
    done = {PROBLEMS[0].id: {0: "correct", 2: "incorrect"}, PROBLEMS[1].id: {0: "incorrect"}}
    plan = Plan(PROBLEMS[:2], done, Owed(3))
    assert plan.most_left == 3
    made = play(plan, lambda *_: "incorrect", 2, random.Random(0))
    assert set(made) == {(PROBLEMS[0].id, 1), (PROBLEMS[1].id, 1), (PROBLEMS[1].id, 2)}


@pytest.mark.parametrize("until", [1, 2, 3])
@pytest.mark.parametrize("slots", [1, 4, 50])
def test_until_correct_makes_the_shortest_sequence_that_is_enough(until, slots):
    """Whatever ends first and however many slots there are: attempts 0 .. k-1, k minimal, at most 8."""
    for seed in range(20):
        right = {(p.id, a): random.Random(f"{seed}{p.id}{a}").random() < 0.4 for p in PROBLEMS for a in range(8)}

        def verdict(problem_id, attempt, right=right):
            return "correct" if right[problem_id, attempt] else "incorrect"

        plan = Plan(PROBLEMS, {}, Owed(99, until_correct=until, max_attempts=8))
        made = play(plan, verdict, slots, random.Random(seed))
        for problem in PROBLEMS:
            total = list(itertools.accumulate(right[problem.id, a] for a in range(8)))
            enough = next((a + 1 for a, n in enumerate(total) if n >= until), 8)
            assert {a for i, a in made if i == problem.id} == set(range(enough))


# The same settings for every run below; batch 1 and blocks of one length, since only then are two runs equal to the
# last bit of their log-probabilities.
SETTINGS = ["--problems", "world:size=8,seed=4", "--max-tokens", "40", "--batch", "1", "--draft-length", "2"]


def command(run: Path, attempts: int = 2) -> list[str]:
    return [sys.executable, "-m", "ownwords", "generate", "--run", str(run), *SETTINGS, "--attempts", str(attempts)]


def content(run: Path) -> dict:
    """Everything stored of a run, except how long it took."""
    with Store.read(run) as store:
        return {
            (t.problem_id, t.attempt): {
                k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(t).items() if k != "seconds"
            }
            for t in store.traces()
        }


def test_killed_ten_times_and_resumed_the_store_equals_an_uninterrupted_one(tmp_path):
    """kill -9 at random moments while attempts are being made; each start does what is missing."""
    make(tmp_path / "whole", problems="world:size=8,seed=4", attempts=2, max_tokens=40, batch=1, draft_length=2)
    whole = content(tmp_path / "whole")
    assert len(whole) == 16
    run, kills, rng, before = tmp_path / "killed", 0, random.Random(11), 0
    while kills < 10:
        # Ten kills have to fit into sixteen attempts: each start is let go on for about one attempt and a half.
        process = subprocess.Popen(command(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        target = min(before + rng.choice((0, 1, 2)), 15)
        while process.poll() is None and stored(run) < target:
            time.sleep(0.01)
        wait_for_start(run, process)
        time.sleep(rng.random() * 0.3)
        assert process.poll() is None or stored(run) == 16
        process.kill()
        process.wait()
        kills += 1
        seen = content(run) if (run / "traces.sqlite").exists() else {}
        assert all(whole[key] == value for key, value in seen.items()), "a torn or a different attempt"
        assert len(seen) >= before, "an attempt was lost"
        before = len(seen)
    subprocess.run(command(run), check=True, stdout=subprocess.DEVNULL)
    assert content(run) == whole


def stored(run: Path) -> int:
    try:
        with sqlite3.connect(f"file:{run}/traces.sqlite?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM traces").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_for_start(run: Path, process: subprocess.Popen) -> None:
    while process.poll() is None and not (run / "traces.sqlite").exists():
        time.sleep(0.01)


def test_ctrl_c_keeps_what_has_ended_and_exits_130(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(command(run, attempts=50), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while process.poll() is None and stored(run) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, output
    kept = stored(run)
    assert kept >= 3 and f"{kept} attempts are kept" in " ".join(output.split())
    assert "Traceback" not in output


def test_a_changed_configuration_is_refused_with_the_keys_that_differ(tmp_path):
    make(tmp_path / "run", problems="world:size=2,seed=4", attempts=1, max_tokens=8)
    changed = dict(problems="world:size=2,seed=4", max_tokens=8, gate="always", seed=1)
    with pytest.raises(ValueError, match=r"gate: threshold:0\.01 -> always.*seed: 0 -> 1"):
        make(tmp_path / "run", **changed, attempts=1)
    _, traces = make(tmp_path / "run", problems="world:size=2,seed=4", max_tokens=8, attempts=3, batch=7)
    assert len(traces) == 6, "more attempts at another batch size are the same run"


def test_controls(tmp_path):
    """--gate always is the teacher alone, --gate never the student alone."""
    for gate, source in (("always", 0), ("never", 1)):
        _, traces = make(tmp_path / gate, problems="world:size=3,seed=4", gate=gate, attempts=1, max_tokens=30)
        assert {s for t in traces for s in t.source.tolist()} == {source, 2}
        assert {t.finish_reason for t in traces} <= {"stop", "length"}
        masses = np.concatenate([t.pass_mass for t in traces])
        assert (masses == (1 if gate == "always" else 0)).all()


def test_the_run_directory_can_be_read_while_nothing_else_is_there(tmp_path):
    """config.yaml and versions.json say what made the run."""
    make(tmp_path / "run", problems="world:size=1,seed=4", attempts=1, max_tokens=8)
    assert "gate: threshold:0.01" in (tmp_path / "run/config.yaml").read_text()
    assert '"torch"' in (tmp_path / "run/versions.json").read_text()
    assert os.listdir(tmp_path) == ["run"]
