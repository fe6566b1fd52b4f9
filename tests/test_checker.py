"""Workers may die at any moment: no verdict is lost, none is changed, and no process is left."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import make
from test_generate import content

from ownwords.answers import checker as module
from ownwords.answers.checker import Checker, NotJudged
from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import prepare
from ownwords.generation.run import generate
from ownwords.records.problem import Problem

FORMULA = Problem("q", "x+1")
DYING = """
import os, pathlib, signal, sys
HERE = pathlib.Path(__file__).parent

def perhaps_die(moment):
    file = HERE / moment
    left, number = map(int, file.read_text().split()) if file.exists() else (0, 0)
    if left:
        file.write_text(f"{left - 1} {number}")
        os.kill(os.getpid(), number)

def alarm(seconds, alarm=signal.alarm):
    alarm(seconds)
    if seconds:
        perhaps_die("judging")

if "ownwords.answers.worker" in " ".join(sys.orig_argv):
    signal.alarm = alarm  # a worker sets it as it begins to judge
    perhaps_die("starting")
"""


@pytest.fixture
def deaths(tmp_path, monkeypatch):
    """Workers that die: `deaths(moment, times, signal)`, as they start or as they begin to judge."""
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying/sitecustomize.py").write_text(DYING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "dying"), prepend=os.pathsep)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "TRIES", 3)
    monkeypatch.setattr(module, "CRASHES", 2)

    def set_up(moment: str, times: int, number: int = signal.SIGKILL) -> Path:
        (tmp_path / "dying" / moment).write_text(f"{times} {int(number)}")
        return tmp_path / "dying" / moment

    return set_up


@pytest.mark.parametrize("moment", ["starting", "judging"])
def test_an_answer_whose_worker_is_killed_is_asked_again(deaths, moment):
    left = deaths(moment, 2)
    with Checker() as checker:
        assert checker.submit(FORMULA, "1+x").result() == "correct"
    assert left.read_text().startswith("0 ")


def test_an_idle_worker_that_is_killed_is_replaced():
    with Checker(workers=2) as checker:
        checker.start(["math"])
        for worker in checker._workers:
            os.kill(worker.process.pid, signal.SIGKILL)
        assert [checker.submit(FORMULA, "1+x").result() for _ in range(4)] == ["correct"] * 4


def test_an_answer_whose_workers_are_always_killed_has_no_verdict(deaths):
    deaths("judging", 3)
    with Checker() as checker:
        with pytest.raises(NotJudged, match="3 processes in a row were killed over one answer"):
            checker.submit(FORMULA, "1+x").result()
        assert checker.submit(FORMULA, "1+x").result() == "correct"


def test_an_answer_that_crashes_its_workers_is_unverifiable(deaths):
    """A segmentation fault is nobody else's doing; once may still be chance."""
    deaths("judging", 2, signal.SIGSEGV)
    with Checker() as checker:
        assert checker.submit(FORMULA, "1+x").result() == "unverifiable"
        deaths("judging", 1, signal.SIGSEGV)
        assert checker.submit(FORMULA, "1+x").result() == "correct"


def test_workers_that_do_not_start_are_one_line(deaths):
    deaths("starting", 99)
    with Checker() as checker:
        with pytest.raises(ValueError, match=r"does not start \(exit code -9\).*shows the reason"):
            checker.start(["math"])


def test_an_attempt_that_nobody_lived_to_judge_is_owed_and_made_again(deaths, tmp_path):
    settings = dict(problems="world:size=4,seed=4", attempts=1, max_tokens=40, batch=1, draft_length=2)
    make(tmp_path / "whole", **settings)
    whole = content(tmp_path / "whole")
    prepared = prepare(GenerateConfig.of(run=tmp_path / "run", **settings))
    deaths("judging", 3)
    with pytest.raises(ValueError, match="1 attempts could not be judged and are owed, all others are kept"):
        generate(prepared)
    kept = content(tmp_path / "run")
    assert len(kept) == len(whole) - 1 and all(whole[key] == trace for key, trace in kept.items())
    assert generate(prepared)
    again = content(tmp_path / "run")
    assert again.keys() == whole.keys()
    for (
        key,
        trace,
    ) in whole.items():  # the log-probabilities may differ in their last bits: fewer prompts are read along
        assert all(again[key][name] == trace[name] for name in ("token_ids", "source", "answer", "verdict"))


@pytest.mark.parametrize("deadline", [1e9, 2e9, math.inf])
def test_any_deadline_can_be_waited_for(deadline):
    with Checker(deadline=deadline) as checker:
        assert checker.submit(FORMULA, "1+x").result() == "correct"


PARENT = """
from ownwords.answers.checker import Checker
from ownwords.records.problem import Problem
import threading
checker = Checker(deadline=1e6)
asked = checker.submit(Problem("q", r"\\sqrt{2}"), ANSWER)
while checker._workers[0].process is None:
    pass
print(checker._workers[0].process.pid, flush=True)
asked.result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends when its input does")
@pytest.mark.parametrize("seconds", [0.0, 0.2, 2.0])
def test_no_worker_survives_its_parent_whatever_it_is_busy_with(seconds):
    """Starting, or with a power that takes for ever, and a deadline that is far off."""
    code = PARENT.replace("ANSWER", repr("9**9**9**9"))
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        time.sleep(seconds)
        parent.kill()
    until = time.monotonic() + 1
    while running(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not running(worker)


def running(pid: int) -> bool:
    """A zombie, which nobody has asked for yet, runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what a process has computed")
def test_a_worker_stands_back_and_is_given_its_seconds_all_the_same():
    """It is niced, and the deadline counts what it computes: here it is stopped for most of the time."""
    with Checker(deadline=1.0) as checker:
        assert checker.submit(FORMULA, "1+x").result() == "correct"
        process = checker._workers[0].process
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 5
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = module.cpu_seconds(process.pid)
        verdict = checker.submit(FORMULA, r"\int_0^1 e^{x^2}\sin(x^3) dx")
        while not verdict.done():
            for sent, seconds in ((signal.SIGSTOP, 0.09), (signal.SIGCONT, 0.03)):
                process.send_signal(sent)
                time.sleep(seconds)
        assert verdict.result() == "timeout"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # the worker has ended, and what it computed is counted
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - began >= 0.8
