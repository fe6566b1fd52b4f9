"""Reading problems; what is wrong with a file is tested where a person meets it, in test_cli.py."""

from __future__ import annotations

import json

import pytest

from ownwords.answers.judge import judge
from ownwords.problems.files import read_jsonl
from ownwords.problems.sources import load_problems
from ownwords.world.tasks import held_out


def write(folder, *rows) -> str:
    path = folder / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.mark.parametrize(
    ("row", "answer", "solution"),
    [
        ({"question": "q", "answer": "She has 3.\nSo 1,000+3.\n#### 1,003"}, "1003", "She has 3.\nSo 1,000+3."),
        ({"problem": "q", "solution": r"We get \boxed{\frac{1}{2}}.", "answer": r"\frac{1}{2}"}, r"\frac{1}{2}", None),
        ({"problem": "q", "solution": r"First \boxed{1}, then $\boxed{\{2\}}$."}, r"\{2\}", None),
        ({"Question": "q", "Body": "A story", "Answer": 145.0}, "145", ""),
        ({"input": "q", "target": 39}, "39", ""),
        ({"question": "q", "final_answer": ["3"]}, "3", ""),
        ({"prompt": "q", "answer": r"\boxed{x^{2}}"}, "x^{2}", r"\boxed{x^{2}}"),
    ],
)
def test_layouts(tmp_path, row, answer, solution):
    [problem] = load_problems(write(tmp_path, row))
    assert problem.answer == answer
    assert problem.question == ("A story. q" if "Body" in row else "q")
    if solution is not None:
        assert problem.solution == solution


def test_named_fields_repeats_and_blank_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"q": "one", "a": 1}\n\n{"q": "one", "a": 1}\n{"q": "two", "a": 2}\n')
    problems = load_problems(str(path), question_field="q", answer_field="a")
    assert [(p.question, p.answer) for p in problems] == [("one", "1"), ("two", "2")]
    assert len(load_problems(str(path), question_field="q", answer_field="a", limit=1)) == 1


@pytest.mark.parametrize(
    "task",
    ["chain_sum", "leg_counting", "number_filtering", "gcd", "simple_equations", "spell_backward", "letter_counting",
     "base_conversion", "gsm_symbolic"],
)  # fmt: skip
def test_reasoning_gym_scores_its_reference_after_a_round_trip(task):
    problems = load_problems(f"gym:{task},size=8,seed=5")
    assert 1 <= len(problems) <= 8 and len({p.id for p in problems}) == len(problems)
    for p in problems:
        metadata = json.loads(json.dumps(p.metadata))
        assert judge(p.kind, p.answer, p.answer, p.question, metadata) == "correct"
        assert judge(p.kind, p.answer, "no idea", p.question, metadata) != "correct"


def test_settings_of_a_task():
    problems = load_problems("gym:chain_sum,size=5,seed=3,min_terms=2,max_terms=2,min_digits=1,max_digits=1")
    assert all(p.metadata["num_terms"] == 2 for p in problems)
    assert load_problems("gym:chain_sum,size=5", seed=3)[0].id == load_problems("gym:chain_sum,size=5,seed=3")[0].id


def test_world_problems_are_held_out_distinct_and_stable():
    problems = load_problems("world:size=60,seed=2")
    assert len({p.id for p in problems}) == 60 and all(held_out(p.question) for p in problems)
    assert {p.source for p in problems} == {"gym:chain_sum", "gym:leg_counting", "gym:number_filtering"}
    assert problems[:20] == load_problems("world:size=20,seed=2")
    assert not {p.id for p in problems} & {p.id for p in load_problems("world:size=20,seed=3")}


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("gsm8k/test.jsonl", 1319), ("gsm8k/train.jsonl", 7473), ("math500/test.jsonl", 500),
        ("aime_amc/aime24.jsonl", 30), ("aime_amc/aime25.jsonl", 30), ("aime_amc/amc23.jsonl", 40),
        ("small_sets/svamp_test.jsonl", 1000), ("small_sets/mawps_multiarith.jsonl", 600),
        ("small_sets/mawps_singleeq.jsonl", 508), ("small_sets/olympiadbench_test.jsonl", 675),
    ],
)  # fmt: skip
def test_real_files_are_read_as_they_are(data, file, rows):
    problems = read_jsonl(data / file)
    assert 0.97 * rows <= len(problems) <= rows  # questions that recur count once
    assert all(p.answer and "####" not in p.answer and "\\boxed" not in p.answer for p in problems)


def test_gsm8k_answers_are_the_numbers(data):
    assert all(p.answer.lstrip("-").replace(".", "").isdigit() for p in read_jsonl(data / "gsm8k/test.jsonl"))
