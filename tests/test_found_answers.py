"""Outputs in the manners that models have, found and judged: right ones, and wrong ones that hold the right value.

The rows of `data/found_answers.jsonl` and the manners below were written, with what a fair grader would say, before the
rules were tuned to them.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ownwords.answers.extract import find_answer
from ownwords.answers.judge import judge
from ownwords.problems.sources import load_problems

ROWS = [json.loads(line) for line in (Path(__file__).parent / "data/found_answers.jsonl").read_text().splitlines()]


def verdict(row: dict) -> str:
    kind = row.get("kind") or "math"
    found = find_answer(row["text"], kind, row.get("from", "boxed"))
    return judge(kind, row["ref"], found.answer, "", {"options": row.get("options") or []}) if found else "unparsable"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}: {row['why']}")
def test_rows_with_a_reason(row):
    assert (verdict(row) == "correct") == (row["want"] == "correct")


# right: R is the reference, W another value that a model might have reached on its way
RIGHT = [
    # Minerva's prompt, and what base models go on with
    "We compute ${R}$.\nFinal Answer: The final answer is ${R}$. I hope it is correct.",
    "So it is ${R}$.\nFinal Answer: The final answer is ${R}$. I hope it is correct.\n\nProblem:\nWhat is $1+1$?\n\n"
    "Solution:\nIt is 2.\nFinal Answer: The final answer is ${W}$. I hope it is correct.",
    "At first one may think of ${W}$.\nThe final answer is ${R}$. I hope it is correct.",
    # display math, headings, bold
    "The answer is:\n\\[\n{R}\n\\]",
    "The answer is:\n\n$${R}$$",
    "### Step 1: Simplify\nThis gives ${W}$.\n\n### Final Answer\n\n${R}$",
    "**Final Answer**\n\n${R}$",
    "## Answer\n\n$${R}$$\n",
    "One tries ${W}$ in vain.\n\n**Answer:** ${R}$.",
    "**Final Answer:** ${R}$",
    "\\[ \\text{Answer: } {R} \\]",
    "\\[\n\\text{The final answer is } {R}\n\\]",
    "<answer>${R}$</answer>",
    "First ${W}$.\n<answer>\n{R}\n</answer>",
    "Therefore, the answer is \\({R}\\).",
    "So the final answer is ${R}$. Let me know if you would like to see 3 other ways!",
    "Hence, the correct answer is ${R}$, since ${W}$ does not satisfy the condition.",
    "I first thought that the answer is ${W}$. Wait, that is wrong. The answer is ${R}$.",
    # tool users
    "```python\nprint(solve())\n```\n```output\n{W}\n```\nAfter simplifying, the answer is ${R}$.",
    "Thus the value is $\\boxed{{R}}$.",
    "The answer is $\\boxed{{R}}$.\n\nProblem: Find $x$.\nThe answer is $\\boxed{{W}}$.",
    "${W}$ is too small.\n\nAnswer: ${R}$",
    "Some steps, ${W}$ among them.\n\nTherefore, the final answer is: ${R}$",
    "In the end,\n\n#### {R}",
    "The final answer is: {R}",
]
RIGHT_NUMBERS = [
    "He has {W} at first and then gets more.\n#### {R}",
    "So {R} in all. #### {R}",
    "She makes {R} dollars.\n#### {R}\n\nQuestion: Tom has 3 apples. How many are left?\nAnswer: 3-1 = {W}.\n#### {W}",
    "{W} were there at first. The answer is {R}.",
    "{W} were there. So the answer is {R}.\n\nQ: There are 3 cars and 2 more come. How many?\nA: The answer is {W}.",
    "Therefore, she has {R} left.",
    "Step 1: There are {W} of them.\nStep 2: We take some away.\n\nSo the total is {R}.",
    "First {W}.\nThen we are left with {R} apples.\n\nI hope this helps!",
    "Thus it costs ${R}.",
    "There were {W} before.\n\nSo he pays a total of **${R}**.",
    "```python\na = {W}\nprint(a + 1)\n```\n```output\n{R}\n```",
    "```python\na = {W}\nprint(a)\n```\n```output\n{R}\n```\nSo the answer is {R}.",
    "{R} is the answer.",
    "Let x be the number.\nx + 1 = {W}\nx = {R}",
    "There are {W}, and the rest go home.\nAnswer: {R}",
    "The answer is {R} because {W} does not fit.",
    "Total: {W} + 2 - 1\n= {R}",
    "**Answer: {R} apples**",
    "The answer to the problem is **{R}**.",
    "We add them up.\n\nAnswer:\n{R}",
    "So the number of days is {R}. Would you like {W} more examples?",
]
WRONG = [
    "One might think of ${R}$.\nFinal Answer: The final answer is ${W}$. I hope it is correct.",
    "The final answer is ${W}$. I hope it is correct.\n\nProblem:\nWhat?\n\nSolution:\nThe final answer is ${R}$.",
    "The answer is ${R}$. Wait, I made a mistake. The answer is ${W}$.",
    "The answer is ${R}$. Wait, that is not right, since the base must be positive, so",
    "We get ${R}$ in the first case.\n\n**Answer:** ${W}$",
    "<answer>${W}$</answer> and not ${R}$",
    "The answer is not ${R}$.",
    "If the answer is ${R}$, then both sides agree, so we have to check",
    "```output\n{R}\n```\nBut this counts each one twice. The answer is ${W}$.",
    "\\boxed{{R}} is for one of them. For both, \\boxed{{W}}.",
    "The answer is ${R}$ or ${W}$.",
    "Could it be ${R}$?",
    "#### {R}, you say? No.\n#### {W}",
    "Let us see whether ${R}$ works. " * 20,
    "The answer is:\n\\[\n{W}\n\\]\nwhile ${R}$ was a step.",
    "The answer is $\\boxed{{R}",
]
WRONG_NUMBERS = [
    "So {R} before lunch, and {W} after lunch, so it is {W} in all.\n#### {W}",
    "There are {R} in the box and then we take the other ones and",
    "So it is {W}.\n#### {W}\n\nQuestion: What is left?\nAnswer: {R}.\n#### {R}",
    "```python\nprint({R})\n```",
    "We have {R} and we have {W}. " * 15,
    "Wait, is that {R}? Let me recount. " * 25,
    "There are between {W} and {R} of them.",
    "Therefore, {R} of the {W} students play.",
    "#### Step {R}: add them\nThe sum is more than that",
    "So it takes {R}-{W} days.",
    "Answer: {W}\n\nExplanation: {R} plus the rest.",
    "So they meet at {R}:30.",
    "So the area is x^{R}",
    "So it is 1/{R}.",
    "So the result is 7.{R}",
    "The total is {W}. Let me know if you need {R} more!",
]
RIGHT_CHOICE = [
    "The answer is ({R}).", "The answer is {R}.", "The correct option is {R}.", "Therefore option {R}. #### {R}",
    "So it is {T}.\n#### {R}", "{T} fits. <answer> {R} </answer>", "<answer>({R})</answer>", "**Answer: {R}**",
    "Answer: {R}) {T}", "The correct answer is **{R}**.", "I considered ({W}), but it is wrong. Final answer: {R}.",
    "The answer is {R} because nothing else fits.", "\\[\n\\text{The answer is ({R})} \\]", "The answer is:\n\n{R}",
    "Let's think step by step. ({W}) is too large. The answer is ({R}).\n\nQuestion: What is 1?\n"
    "Options: (A) 1 (B) 2\nAnswer: The answer is ({W}).",
    "{R}", "({R})", "{R}. {T}", "Option {R} is correct.", "We find {T}, so the answer is option {R}.",
    "$\\boxed{{R}}$", "The best answer is {R}.", "Thus, the correct choice is ({R}) {T}.",
    "Hence the final answer is $\\text{({R})}$.", "### Answer\n{R}", "answer: {R}", "The answer is {T}.",
    "My choice is ({W})... no, wait. The correct answer is ({R}).", "({W}) is incorrect. ({R}) is correct.",
]  # fmt: skip
WRONG_CHOICE = [
    "I considered ({R}), but it is wrong. Final answer: {W}.", "The answer is ({W}), not ({R}).",
    "The answer is {R} or {W}.", "The answer is not {R}.", "({R}) {T}\nThe correct option is {W}.",
    "<answer> {W} </answer> ({R})", "{R}? {W}? Hard to say.",
    "If the answer is {R}, we get a contradiction.", "Option {R} is not correct.", "{R}. #### {W}", "Is it {R}",
    "The answer is {R}. Wait, that's wrong. The answer is {W}.", "Let me look at ({R}) again. " * 20,
    "The answer is ({W}).\n\nQuestion: another one\nAnswer: The answer is ({R}).",
    "$\\boxed{{R}}$ or rather $\\boxed{{W}}$",
]  # fmt: skip
NUMBER_FILES = (
    "gsm8k/test.jsonl",
    "small_sets/svamp_test.jsonl",
    "aime_amc/aime24.jsonl",
    "small_sets/mawps_singleeq.jsonl",
)
FORMULA_FILES = ("math500/test.jsonl",)
MISSED: set[str] = set()
"""manners in which a right answer is missed, at least once"""


def outputs(data: Path) -> Iterator[tuple[str, dict, bool]]:
    """(manner, row, whether it is right) of every manner over some references of the files."""
    draw = random.Random(0)
    numbers = [p.answer for file in NUMBER_FILES for p in load_problems(str(data / file), limit=200)]
    numbers = [n for n in numbers if n.lstrip("-").isdigit() and int(n) > 3]
    formulas = [p.answer for file in FORMULA_FILES for p in load_problems(str(data / file))]
    choices = load_problems(str(data / "small_sets/aqua_test.jsonl"))
    choices = [p for p in choices if not any(option[1:2] == ")" for option in p.metadata["options"])]  # `A)59`
    for manners, answers, right in (
        (RIGHT, formulas, True), (RIGHT, numbers, True), (RIGHT_NUMBERS, numbers, True),
        (WRONG, formulas, False), (WRONG, numbers, False), (WRONG_NUMBERS, numbers, False),
    ):  # fmt: skip
        for manner in manners:
            for reference, other in (draw.sample(answers, 2) for _ in range(EACH)):
                while judge("math", reference, other, "", {}) == "correct":
                    other = draw.choice(answers)
                text = manner.replace("{R}", reference).replace("{W}", other)
                yield manner, {"ref": reference, "text": text, "from": "any"}, right
    for manners, right in ((RIGHT_CHOICE, True), (WRONG_CHOICE, False)):
        for manner in manners:
            for problem in draw.sample(choices, EACH):
                options = [*problem.metadata["options"], *(f"{n} of none" for n in range(31, 36))]  # ten, as MMLU-Pro
                draw.shuffle(options)
                reference = "ABCDEFGHIJ"[options.index(problem.metadata["options"]["ABCDE".index(problem.answer)])]
                other = draw.choice([letter for letter in "ABCDEFGHIJ" if letter != reference])
                text = manner.replace("{R}", reference).replace("{W}", other)
                text = text.replace("{T}", options["ABCDEFGHIJ".index(reference)])
                yield (
                    manner,
                    {"kind": "choice", "ref": reference, "text": text, "options": options, "from": "any"},
                    right,
                )


EACH = 3


def test_manners_over_real_references(data):
    said = [(manner, row, right, verdict(row) == "correct") for manner, row, right in outputs(data)]
    accepted = [right for _, _, right, found in said if found]
    wrongly = [row["text"] for _, row, right, found in said if found and not right]
    missed = {manner for manner, _, right, found in said if right and not found}
    total = sum(right for _, _, right, _ in said)
    assert len(said) >= 300 and len(said) - total >= 100
    assert not wrongly
    assert sum(accepted) / total >= 0.99, [row["text"] for _, row, right, found in said if right and not found]
    assert missed == MISSED


def test_worked_solutions_without_their_mark(data):
    """GSM8K's own solutions, cut before `####`: what the last sentence concludes in."""
    problems = load_problems(str(data / "gsm8k/test.jsonl"), limit=600)
    texts = [(p.answer, re.sub(r"<<[^>]*>>", "", p.solution.split("####")[0])) for p in problems]
    said = [verdict({"ref": answer, "text": text, "from": "any"}) for answer, text in texts]
    assert said.count("correct") / len(said) >= 0.95
    assert said.count("correct") / (len(said) - said.count("unparsable")) >= 0.98


HOSTILE = [
    "The answer is 5. The answer is 6. ", "#### 5\n", "\\boxed{1}, ", "- \\boxed {", "\\boxed{5}\\text{ a} ", "\\[",
    "\\text{answer ", "```\n", "<answer>", "answer to b b b b b b b b b b ", "So x is 5 and ", "x. ", "$ ", "answer: (",
    "answer is " + ", " * 240, "answer is 1" + "}" * 480, "answer is " + "\\[a " * 120, "\nQuestion: the answer is 5",
    "\\begin{align}", "5 is the answer. ", "I hope it is correct. ", "1 2 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: repr(piece[:20]))
def test_reading_is_linear_on_hostile_text(piece):
    """What is quadratic takes minutes for this, and hours for a million characters."""
    started = time.process_time()
    for kind in ("math", "choice"):
        find_answer(piece * (100_000 // len(piece)), kind, "any")
    assert time.process_time() - started < 20
