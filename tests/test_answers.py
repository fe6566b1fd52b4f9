"""Finding and judging answers. Model output is hostile text."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ownwords.answers.checker import Checker
from ownwords.answers.extract import extract_answer, split_thinking
from ownwords.answers.judge import judge, same_text
from ownwords.problems.files import read_jsonl
from ownwords.problems.problem import Problem


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
    assert split_thinking("a</think>b</think>c", "</think>") == ("a", "b</think>c")
    assert split_thinking("never closed \\boxed{1}", "</think>") == ("never closed \\boxed{1}", "")
    assert split_thinking("no tags here", None) == ("", "no tags here")


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("18", "18.0", True), ("18", "$18", True), ("1000", "1,000", True), ("18", r"18\%", True), ("18", "18.", True),
        ("18", "018", True), ("-3", "-3", True), ("0", "-0", True), ("18", r"\text{18}", True), ("18", "1.8", False),
        ("18", "181", False), ("3", "-3", False), ("1000", "1,00", False), ("Paris", r"\text{paris}", True),
        ("18", "", False), ("0.5", ".50", True),
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
    with Checker(workers=1, deadline=3.0) as checker:
        assert checker.submit(problem(), "18").result() == "correct"
        for text in HOSTILE:
            started = time.monotonic()
            verdict = checker.submit(problem(r"\sqrt{2}"), text).result()
            assert verdict in {"incorrect", "unparsable", "timeout"}, (text[:40], verdict)
            assert time.monotonic() - started < 3.0 + 2.0, text[:40]
        assert checker.submit(problem(r"\frac{1}{2}"), "0.5").result() == "correct"


def test_a_worker_that_misses_the_deadline_is_replaced():
    with Checker(workers=2, deadline=0.5) as checker:
        assert checker.submit(problem(), "18").result() == "correct"
        slow = problem("1", kind="gym:chain_sum", metadata={})
        worker = checker._workers[0]
        worker.ask({"kind": "math", "reference": "1", "answer": "1", "question": "", "metadata": {}}, 60)
        first = worker.process.pid
        os.kill(first, 19)  # SIGSTOP: it will never answer
        verdicts = {checker.submit(slow, "1").result() for _ in range(2)}
        assert "timeout" in verdicts
        assert checker.submit(problem(), "18").result() == "correct"
        assert checker.submit(problem(), "18").result() == "correct"


def test_a_worker_that_dies_costs_one_verdict_and_close_leaves_no_process():
    with Checker(workers=1, deadline=5.0) as checker:
        checker.submit(problem(), "18").result()
        os.kill(checker._workers[0].process.pid, 9)
        assert checker.submit(problem(), "18").result() == "unparsable"
        assert checker.submit(problem(), "18").result() == "correct"
        pid = checker._workers[0].process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


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
        futures = [checker.submit(p, p.answer) for p in read_jsonl(data / "gsm8k/test.jsonl")[:200]]
        assert {f.result() for f in futures} == {"correct"}
