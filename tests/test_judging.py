"""Is this answer right? Hand-written pairs, hostile expressions, and the references of public sets."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from ownwords.answers.checker import Checker
from ownwords.answers.extract import extract_answer, find_answer
from ownwords.answers.judge import by_mathematics, decide, is_language, judge
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


HERE = Path(__file__).parent / "data"
PAIRS = rows(HERE / "answer_pairs.jsonl")
NEIGHBOURS = rows(HERE / "answer_neighbours.jsonl")
WRONGLY_ACCEPTED: set[tuple[str, str]] = set()
WRONGLY_REFUSED = {
    ("10110_2", "10110"),  # digits alone pass only where the question names the base, and these pairs have no question
}


def verdict(reference: str, answer: str, options: list[str] | None = None, kind: str = "math", **more) -> str:
    metadata = {"options": options or [], "labels": more.get("labels", [])}
    return judge("choice" if kind == "choice" else "math", reference, answer, more.get("question", ""), metadata)


def test_hand_written_pairs():
    """The pairs were written, with what a fair grader would say, before any rule was tuned."""
    said = [(row, verdict(row["reference"], row["answer"], row.get("options"), row["kind"])) for row in PAIRS]
    accepted = [row for row, found in said if found == "correct"]
    wrong = {(row["reference"], row["answer"]) for row in accepted if not row["same"]}
    missed = {(row["reference"], row["answer"]) for row, found in said if row["same"] and found != "correct"}
    right, same = sum(row["same"] for row in accepted), sum(row["same"] for row in PAIRS)
    kinds = {row["kind"] for row in PAIRS}
    assert len(PAIRS) >= 300 and len(kinds) == 12 and same < 0.7 * len(PAIRS)
    assert right / len(accepted) >= 0.99 and right / same >= 0.95
    assert wrong == WRONGLY_ACCEPTED and missed == WRONGLY_REFUSED, (wrong, missed)


def test_neighbours_of_what_broke_once():
    """At least four of each kind, right and wrong ones, written with their reasons before the rules were; but those of
    the last kind, which were found by trying."""
    counts = Counter(row["bullet"] for row in NEIGHBOURS)
    assert len(NEIGHBOURS) > 250 and min(counts.values()) >= 4, counts
    for row in NEIGHBOURS:
        said = verdict(**{"kind": "math", **{k: v for k, v in row.items() if k not in ("bullet", "want", "reason")}})
        assert (said == "correct") is (row["want"] == "correct"), row


def test_pairs_that_other_graders_get_wrong(data):
    """Those that hang on comparing; where an answer is found in a text is tested elsewhere."""
    tried = 0
    for row in rows(data / "answers/pairs.jsonl"):
        if "from" in row or "extraction" in row["case"]:
            continue
        answer = row.get("ans") or find_answer(row["text"], row.get("kind", "math")).answer
        said = verdict(row["ref"], answer, row.get("options"), row.get("kind", "math"))
        assert said == row["want"] or (row["want"] == "not-correct" and said != "correct"), (row, said)
        tried += 1
    assert tried > 120


@pytest.mark.parametrize(
    ("kind", "reference", "answer", "rule", "readings"),
    [
        ("math", "18", "$18$", "text", ("18", "18")),
        ("math", "2 hours", r"1 \text{ hour } 60 \text{ minutes}", "number", ("2 time", "120 time")),
        ("math", r"\sqrt{8}", r"2\sqrt{2}", "formula", ("sqrt(8)", "2*sqrt(2)")),
        ("math", "(0,1)", "0<x<1", "tuple", ("(0, 1)", "x in Interval.open(0, 1)")),
        ("math", "x=5", "6", "name", ("x = 5", "6")),
        ("math", "12_8", "13_8", "base", ("12 in base 8", "13 in base 8")),
        ("math", "Paris", "18", "language", ("Paris", "18")),
        ("math", "18", r"\neq 15 (", "unread", ("18", r"\neq 15 (")),
        ("math", "1", "9^{9^{9^{9}}}", "size", ("1", "9**(9**(9**9))")),
        ("choice", "B", "b) 10", "choice", ("B", "B")),
        ("choice", "B", "neither\nof them", "choice", ("B", "neither of them")),
    ],
)
def test_a_judgement_tells_its_rule_and_how_both_sides_were_read(kind, reference, answer, rule, readings):
    judgement = decide(kind, reference, answer, "", {})
    assert (judgement.rule, (judgement.reference, judgement.answer)) == (rule, readings)
    assert judgement.verdict == judge(kind, reference, answer, "", {})


def test_digits_alone_pass_where_the_question_names_the_base():
    assert verdict("10110_2", "10110", question="What is 22 in base two?") == "correct"
    assert verdict("10110_2", "10110", question="What is 22?") == "incorrect"
    assert verdict("10110_2", "22", question="What is 22 in base two?") == "incorrect"


@pytest.mark.parametrize(
    ("reference", "answer", "kind", "found"),
    [
        ("18", "no idea", "math", "unparsable"),
        ("Paris", "18", "math", "unverifiable"),
        ("the sky is blue", "because of scattering", "math", "unverifiable"),
        ("18", "", "math", "unparsable"),
        ("the first", "B", "choice", "unverifiable"),
        ("B", "the answer", "choice", "unparsable"),
        ("1e999", "2e999", "math", "incorrect"),
        ("9" * 5000, "9" * 5000, "math", "correct"),
        (r"\sqrt{2}", "(" * 50 + "2" + ")" * 50, "math", "unparsable"),
        (r"\sqrt{2}", "(" * 10 + r"\sqrt{2}" + ")" * 10, "math", "correct"),
    ],
)
def test_what_is_neither_right_nor_wrong(reference, answer, kind, found):
    assert verdict(reference, answer, kind=kind) == found


HOSTILE = [
    # powers and factorials that no memory holds
    "9^{9^{9^{9^9}}}", "10^{10^{10}}!", "9**9**9**9", "(9^{99999})^{99999}", "2^{2^{2^{2^{2^2}}}}", "99999999!",
    "((10!)!)!", r"\binom{10^9}{5\cdot 10^8}", "1" + "0" * 9000, "0." + "0" * 9000 + "1", "1e999999999",
    "-" * 9000 + "1",
    r"\sum_{n=1}^{10^{12}} \frac{1}{n}", r"\prod_{n=1}^{10^9} n", r"\int_0^1 e^{e^{e^{x^x}}} dx",
    r"\lim_{x\to 0} \frac{\sin(\sin(\sin(x)))}{x^{x^x}}", r"\sqrt[10^9]{2^{10^9}}", r"10^{-10^{10}}",
    # nesting
    "(" * 4000 + "x" + ")" * 4000, r"\frac{" * 300 + "1" + "}{2}" * 300, "x" + "^{x" * 500 + "}" * 500,
    r"\sqrt{" * 800 + "2" + "}" * 800, "[" * 4000, r"\left(" * 900 + "1" + r"\right)" * 900, r"\{" * 2000, "|" * 5000,
    r"\text{" * 1500 + "a" + "}" * 1500, r"\begin{pmatrix}" * 300, r"\sin " * 1500 + "x", "_" * 5000,
    # length
    "{" * 10**6, "{}" * 5 * 10**5, r"\boxed{" * 10**5, "!" * 5000, "+".join(["x"] * 2000), "*".join("abcdefgh" * 300),
    ",".join(map(str, range(2000))), r"\pm 1" * 600, "x=" * 2000 + "1", r"\cup (0,1)" * 400, r"\&" * 3000,
    "(x+y+z+w)^{500}", r"\begin{pmatrix}" + r"1 & 2 \\ " * 800 + r"\end{pmatrix}",
    # bytes that are no text, and words that are Python
    "\x00\x1b[2J\ud800", "\u202e" * 3000, "１８", "\N{COMBINING ACUTE ACCENT}" * 5000, "\r\n\x08" * 1000,
    "__import__('os').system('touch hostile_was_here')", "lambda: (yield)", "a.__class__.__mro__",
]  # fmt: skip


def test_fifty_hostile_expressions_cost_a_verdict_each():
    """Every verdict comes within the deadline (and the replacing of a worker), memory stays under the ceiling, four
    workers are as good as new afterwards, and nothing was executed."""
    assert len(HOSTILE) >= 50
    deadline = 0.5
    with Checker(workers=4, deadline=deadline) as checker:
        warm = [checker.submit(Problem("q", r"\frac{1}{2}"), "0.5") for _ in range(4)]
        assert {future.result() for future in warm} == {"correct"}
        started = time.monotonic()
        futures = [checker.submit(Problem("q", r"\sqrt{2}"), text) for text in HOSTILE]
        most = 0
        while not all(future.done() for future in futures):
            most = max(most, *(resident(worker.process) for worker in checker._workers))
            time.sleep(0.05)
        took = time.monotonic() - started
        said = [future.result() for future in futures]
        assert set(said) <= {"incorrect", "unparsable", "timeout", "unverifiable"}, said
        # each timeout costs the deadline and a new worker, which is loaded in the time of its first question
        assert took < 60 + said.count("timeout") * (deadline + 5), (took, said)
        assert most < 2 << 30, most
        again = [checker.submit(Problem("q", r"\frac{1}{2}"), "0.5") for _ in range(8)]
        assert {future.result() for future in again} == {"correct"}
    assert not Path("hostile_was_here").exists()


def resident(process) -> int:
    """Bytes of a process in memory, 0 where it has just ended."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096
    except (OSError, AttributeError, IndexError):
        return 0


FILES = (
    "math500/test.jsonl", "aime_amc/aime24.jsonl", "aime_amc/aime25.jsonl", "aime_amc/amc23.jsonl",
    "small_sets/svamp_test.jsonl", "small_sets/mawps_multiarith.jsonl", "small_sets/mawps_singleeq.jsonl",
    "small_sets/olympiadbench_test.jsonl", "small_sets/aqua_test.jsonl", "gsm8k/test.jsonl",
)  # fmt: skip
LANGUAGE = {
    "math500/test.jsonl": [r"\text{east}", r"\text{ellipse}", r"\text{Evelyn}", r"\text{even}", r"\text{Navin}"],
    "small_sets/olympiadbench_test.jsonl": ["$f(x)=a x+b$, where $b$ is an arbitrary integer, and $a$"],
}
"""references that are words: only the very words verify"""


@pytest.mark.parametrize("file", FILES)
def test_references_verify_against_themselves(data, file):
    """As they are and in a box; those that are words are listed, and so is how many of them there are."""
    problems = load_problems(str(data / file))
    for p in problems:
        assert judge(p.kind, p.answer, p.answer, p.question, p.metadata) == "correct", p.answer
        boxed = extract_answer(f"So it is \\boxed{{{p.answer}}}.")
        assert boxed and judge(p.kind, p.answer, boxed, p.question, p.metadata) == "correct", p.answer
    words = sorted(p.answer for p in problems if p.kind == "math" and is_language(p.answer))
    expected = LANGUAGE.get(file, [])
    assert len(words) == len(expected)
    assert all(found.startswith(start) for found, start in zip(words, sorted(expected)))


@pytest.mark.parametrize("file", ["math500/test.jsonl", "small_sets/olympiadbench_test.jsonl"])
def test_references_are_read_as_mathematics(data, file):
    """Behind the equal text stands a reading: every reference that is no language verifies by it alone."""
    answers = [p.answer for p in load_problems(str(data / file)) if not is_language(p.answer)]
    unread = {a for a in answers if by_mathematics(a, a).verdict != "correct"}
    assert unread <= {"$t(0,4]$"}, "an interval with a letter before it"
