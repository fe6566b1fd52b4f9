"""Finding and judging answers. Model output is hostile text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ownwords.answers.checker import Checker
from ownwords.answers.extract import extract_answer, split_thinking
from ownwords.answers.judge import judge, same_text
from ownwords.problems.problem import Problem
from ownwords.problems.sources import load_problems


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{1} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {8}", "8"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a \} b}", r"a \} b"),
        (r"\boxed{3} and \boxed{4", "3"),
        (r"\boxed{}", None),
        (r"\boxed 5", None),
        ("42", None),
        ("", None),
        (r"\boxed{['14', '52']}", "['14', '52']"),
    ],
)
def test_extraction(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", ["{" * 10**6, "\\boxed{" * 10**5, "}" * 10**6, "\\boxed{" + "{}" * 10**5])
def test_extraction_is_linear_on_hostile_text(text):
    started = time.monotonic()
    extract_answer(text)
    assert time.monotonic() - started < 5


def test_thinking_is_split_at_the_first_closing_tag():
    assert split_thinking("a</think>b</think>c") == ("a", "b</think>c")
    assert split_thinking("never closed \\boxed{1}", "</think>") == ("never closed \\boxed{1}", "")
    assert split_thinking("no tags here", None) == ("", "no tags here")


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("18", "18.0", True), ("18", "$18", True), ("1000", "1,000", True), ("18", r"18\%", True), ("18", "18.", True),
        ("18", "018", True), ("-3", "-3", True), ("0", "-0", True), ("18", r"\text{18}", True), ("18", "1.8", False),
        ("18", "181", False), ("3", "-3", False), ("1000", "1,00", False), ("Paris", r"\text{paris}", True),
        ("18", "", False), ("0.5", ".50", True),
        ("12", "1 2", False), ("31/2", "3 1/2", False), ("(1,200)", "(1200)", False), ("1000", r"1\,000", True),
        (r"\leftarrow", r"\rightarrow", False), (r"\left( 1, 2 \right)", "(1,2)", True),
        ("1234.5", r"\$1,234.50", True),
    ],
)  # fmt: skip
def test_equal_as_plain_text(reference, answer, same):
    assert same_text(reference, answer) is same


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"\frac{1}{2}", "0.5", "correct"), (r"\frac{1}{2}", r"\dfrac12", "correct"), ("x^2+1", "1+x^2", "correct"),
        (r"2\sqrt{3}", r"\sqrt{12}", "correct"), (r"\{1,2\}", r"\{2,1\}", "correct"), ("(1,2)", "(2,1)", "incorrect"),
        ("18", "17", "incorrect"), (r"\frac{1}{2}", r"\frac{1}{3}", "incorrect"), ("18", "no idea", "unparsable"),
    ],
)  # fmt: skip
def test_mathematical_judgement(reference, answer, verdict):
    found = judge("math", reference, answer, "", {})
    assert found == verdict or (verdict == "unparsable" and found == "incorrect")


def problem(answer: str = "18", **kw) -> Problem:
    return Problem(question="q", answer=answer, **kw)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


HOSTILE = [
    "9^{9^{9^{9^9}}}",
    "(" * 4000 + "x" + ")" * 4000,
    "\\frac{" * 300 + "1" + "}{2}" * 300,
    "\x00\x1b[2J\ud800",
    "x" + "^{x" * 500 + "}" * 500,
    "!" * 5000,
    "10^{10^{10}}!",
    "{" * 10**6,
]


def test_hostile_answers_end_in_a_verdict_within_the_deadline():
    """Each costs one verdict; the checker is as good as new after each of them."""
    with Checker(workers=1, deadline=1.5) as checker:
        assert checker.submit(problem(), "18").result() == "correct"
        for text in HOSTILE:
            started = time.monotonic()
            verdict = checker.submit(problem(r"\sqrt{2}"), text).result()
            assert verdict in {"incorrect", "unparsable", "timeout", "unverifiable"}, (text[:40], verdict)
            assert time.monotonic() - started < 1.5 + 2.0, text[:40]
        assert checker.submit(problem(r"\frac{1}{2}"), "0.5").result() == "correct"


def test_a_worker_that_misses_the_deadline_is_replaced():
    """A stopped process neither reads nor answers: the deadline holds for a full pipe too."""
    big = problem("1", metadata={"pad": "x" * 300_000})
    with Checker(workers=1, deadline=0.5) as checker:
        assert checker.submit(big, "2").result() == "incorrect"
        for asked in (problem(), big):
            pid = checker._workers[0].process.pid
            os.kill(pid, signal.SIGSTOP)
            started = time.monotonic()
            assert checker.submit(asked, "2").result() == "timeout"
            assert time.monotonic() - started < 2.5 and gone(pid)
            assert checker.submit(problem(), "18").result() == "correct"


def test_a_worker_that_dies_costs_one_verdict_and_close_leaves_no_process():
    with Checker(workers=1, deadline=5.0) as checker:
        checker.submit(problem(), "18").result()
        os.kill(checker._workers[0].process.pid, 9)
        assert checker.submit(problem(), "18").result() == "unverifiable"
        assert checker.submit(problem(), "18").result() == "correct"
        pid = checker._workers[0].process.pid
    assert gone(pid)


CHECK = """
from ownwords.answers.checker import Checker
from ownwords.problems.problem import Problem
import time
with Checker() as checker:
    print(checker.submit(Problem("q", "1/2"), "0.50").result(), checker._workers[0].process.pid, flush=True)
    %s
"""


def test_a_checker_in_a_script_from_stdin_and_a_folder_with_modules_of_ours_names(tmp_path):
    """The parent has no file to import again, and what lies in its folder is not taken for Python's own."""
    for name in ("queue", "sympy", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by mistake')")
    done = subprocess.run(
        [sys.executable, "-P", "-"], input=CHECK % "", cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.startswith("correct"), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_survives_its_parent(sent):
    with subprocess.Popen(
        [sys.executable, "-P", "-c", CHECK % "time.sleep(60)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        worker = int(parent.stdout.readline().split()[1])
        parent.send_signal(sent)
        parent.wait(10)
    until = time.monotonic() + 5
    while not gone(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert gone(worker)


def test_a_worker_ignores_ctrl_c():
    with Checker() as checker:
        assert checker.submit(problem(), "18").result() == "correct"
        os.kill(checker._workers[0].process.pid, signal.SIGINT)
        assert checker.submit(problem(), "18.0").result() == "correct"


def test_a_worker_has_a_ceiling_of_memory():
    with Checker() as checker:
        checker.submit(problem(), "18").result()
        resource = pytest.importorskip("resource")
        soft, _ = resource.prlimit(checker._workers[0].process.pid, resource.RLIMIT_AS)
        assert soft == 4 << 30


def test_what_needs_no_worker_starts_none():
    with Checker() as checker:
        assert checker.submit(problem(), None).result() == "unparsable"
        assert checker.submit(problem(), "x" * 20_000).result() == "unparsable"
        assert checker.submit(problem(""), "1").result() == "unverifiable"
        assert checker._workers[0].process is None


def test_the_worker_does_not_load_torch():
    code = (
        "import sys, ownwords.answers.judge as j; j.judge('math', 'x+1', '1+x', '', {}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_gsm8k_references_verify_against_themselves(data):
    with Checker() as checker:
        futures = [checker.submit(p, p.answer) for p in load_problems(str(data / "gsm8k/test.jsonl"))[:200]]
        assert {f.result() for f in futures} == {"correct"}
