"""Finding and judging answers. Model output is hostile text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ownwords.answers.checker import Checker
from ownwords.answers.extract import extract_answer, find_answer, split_thinking
from ownwords.answers.text import is_words, same_text
from ownwords.records.problem import Problem


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
        (r"\boxed 5", "5"),
        ("42", None),
        ("", None),
        (r"\boxed{['14', '52']}", "['14', '52']"),
    ],
)
def test_extraction(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "kind", "answer", "rule"),
    [
        (r"so \boxed{42}, the answer is 41", "math", "42", "boxed"),
        ("He has 3.\n#### 1,003", "math", "1,003", "marked"),
        ("It is 3.\n**Answer:** $x^2$", "math", "$x^2$", "marked"),
        ("Final answer: (B)", "choice", "(B)", "marked"),
        ("The answer is 5. No, the answer is 3.5 cm. I hope it is correct.", "math", "3.5 cm", "stated"),
        ("Thus the final answer is\n12", "math", "12", "stated"),
        ("So 7 of 20, or 7/20", "math", "7/20", "number"),
        ("First 3.\nThen -1,200.50", "math", "-1,200.50", "number"),
        ("I choose\n(C)", "choice", "C", "letter"),
        ("I choose 3", "choice", None, None),
        (r"cut off: \boxed{4", "math", None, None),
        (r"\boxed{} so 4", "math", None, None),
        ("no idea", "math", None, None),
        ("", "math", None, None),
        ("#### \n", "math", None, None),
        ("This is where the answer is. Let us see.", "math", None, None),
        ("Next is where the answer is. Let us see: 6 - 1 = 5.\n\nThe final answer is 5.", "math", "5", "stated"),
    ],
)
def test_where_an_answer_is_found_is_named(text, kind, answer, rule):
    found = find_answer(text, kind, answer_from="any")
    assert (found and found.answer, found and found.rule) == (answer, rule)
    assert (find_answer(text, kind) is not None) == (rule == "boxed")


HOSTILE = [
    "{" * 10**6, "\\boxed{" * 10**5, "}" * 10**6, "\\boxed{" + "{}" * 10**5, "answer is " * 10**5, "1," * 10**6,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_extraction_is_linear_on_hostile_text(text):
    started = time.process_time()
    find_answer(text, answer_from="any")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"\text{Evelyn}", True), ("red, green", True), ("no solution", True), (r"\frac{1}{2}", False),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", False), (r"36\pi \text{ square units}", False), ("yes", True),
        ("sin(x)+cos(y)", False), ("abc", True), ("xy", False), (r"\text{odd}", True), ("18", False),
        ("x=1 or x=2", False), ("18 miles", True),
    ],
)  # fmt: skip
def test_language_is_told_from_formulas(text, words):
    assert is_words(text) is words


def test_thinking_is_split_at_the_first_closing_tag():
    assert split_thinking("a</think>b</think>c") == ("a", "b</think>c")
    assert split_thinking("never closed \\boxed{1}", "</think>") == ("never closed \\boxed{1}", "")
    assert split_thinking("no tags here", None) == ("", "no tags here")


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("18", "18.0", True), ("1000", "1,000", True), ("18", "18.", True),
        ("18", "018", True), ("-3", "-3", True), ("0", "-0", True), ("18", r"\text{18}", True), ("18", "1.8", False),
        ("18", "181", False), ("3", "-3", False), ("1000", "1,00", False), ("Paris", r"\text{paris}", True),
        ("18", "", False), ("0.5", ".50", True),
        ("12", "1 2", False), ("31/2", "3 1/2", False), ("(1,200)", "(1200)", False), ("1000", r"1\,000", True),
        (r"\leftarrow", r"\rightarrow", False), (r"\left( 1, 2 \right)", "(1,2)", True),
        ("18", "$18", False), ("18", "18%", False), (r"\Delta", r"\delta", False), ("x", "X", False),
    ],
)  # fmt: skip
def test_equal_as_plain_text(reference, answer, same):
    assert same_text(reference, answer) is same


def problem(answer: str = "18", **kw) -> Problem:
    return Problem(question="q", answer=answer, **kw)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


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


def test_close_leaves_no_process():
    with Checker(workers=1, deadline=5.0) as checker:
        assert checker.submit(problem(), "18").result() == "correct"
        pid = checker._workers[0].process.pid
    assert gone(pid)


CHECK = """
from ownwords.answers.checker import Checker
from ownwords.records.problem import Problem
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background ignores Ctrl-C
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
        assert soft == 2 << 30


def test_what_needs_no_worker_starts_none():
    with Checker() as checker:
        assert checker.submit(problem(), None).result() == "unparsable"
        assert checker.submit(problem(), "x" * 20_000).result() == "unparsable"
        assert checker.submit(problem(""), "1").result() == "unverifiable"
        assert checker._workers[0].process is None


def test_workers_that_are_ready_are_the_ones_that_judge():
    """Also with a task's own scorer: its library is loaded at the start, and not by another process later."""
    with Checker(workers=2) as checker:
        checker.start(["math", "gym:chain_sum"])
        ready = [worker.process.pid for worker in checker._workers]
        assert [checker.submit(problem(), "18").result() for _ in range(4)] == ["correct"] * 4
        assert [worker.process.pid for worker in checker._workers] == ready
        assert [worker.extra for worker in checker._workers] == [{"reasoning_gym"}] * 2


def test_the_worker_does_not_load_torch():
    code = (
        "import sys, ownwords.answers.judge as j; j.judge('math', 'x+1', '1+x', '', {}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
