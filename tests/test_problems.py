"""Reading problems, and what is said of those that cannot be read."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from ownwords.answers.judge import judge
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
        ({"question": "q", "answer": "We add.\n#### (1,2)"}, "(1,2)", "We add."),
        ({"question": "q", "answer": "#### Step 1\nAdd.\n#### Step 2\nSo \\boxed{5}"}, "5", None),
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
    ("line", "fields", "message"),
    [
        ('{"question": "q", "answer": 1}', {"answer_field": "a"}, "line 1: no field 'a', which answer_field names"),
        (
            '{"question": "q", "answer": 1}',
            {"question_field": "a"},
            "which question_field names, the fields are 'quest",
        ),
        ('{"question": "q", "right": "A"}', {}, "the fields are 'question', 'right': name it with answer_field"),
        ('{"question": "q", "answer": NaN}', {}, "line 1: no reference answer, the field 'answer' holds nan"),
        ('{"question": "q", "answer": null}', {}, "line 1: no reference answer"),
        ('{"question": "q", "answer": []}', {}, "line 1: no reference answer"),
        ('{"question": "q", "answer": "So 2 + 2.\\n####"}', {}, "line 1: no reference answer"),
        ('{"question": "q", "answer": "\\\\boxed{}"}', {}, "line 1: no reference answer"),
        ('{"question": "q\\ud800", "answer": 1}', {}, "line 1: '\\ud800' is half a character"),
        ('{"question": "q", "answer": ' + "9" * 5000 + "}", {}, "line 1: not JSON"),
        ("[" * 100_000, {}, "line 1: not JSON"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path, line, fields, message):
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    with pytest.raises(ValueError) as error:
        load_problems(str(path), **fields)
    assert f"{path}, line 1" in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gym:chain_sum,min_terms=[1", "'min_terms=[1' has no readable value"),
        ("gym:chain_sum,size", "'size' is no setting, expected key=value"),
        ("gym:chain_sum,size=abc", "reasoning-gym refuses gym:chain_sum,size=abc"),
        ("gym:chain_sun", "unknown reasoning-gym task 'chain_sun', did you mean chain_sum"),
        ("gym:chain_sum,max_term=3", "chain_sum has no setting 'max_term': did you mean max_terms?"),
        ("world:size=none", "expected whole numbers, size from 1 up"),
        ("gym:qqqq", "unknown reasoning-gym task 'qqqq', expected one such as"),
        ("gym:arc_agi,size=2", "its scorer refuses its own answers"),
        ("world:sise=3", "world has no setting 'sise': expected size, seed and split"),
        ("world:size=3,split=train", "has no split 'train': expected practice or test"),
        ("gym:", "unknown reasoning-gym task '', expected one such as"),
        ("gyn:chain_sum", "hf:NAME,split=train, gym:TASK,size=100,seed=0 or world"),
    ],
)
def test_specs_that_cannot_be_read(spec, message):
    with pytest.raises(ValueError) as error:
        load_problems(spec)
    assert message in str(error.value) and "\n" not in str(error.value)


GOOD = b'{"question": "q", "answer": 1}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.jsonl: no such file, expected a .jsonl, .ndjson, .json, .csv, .tsv, .parquet file"),
        (b"\n \n", "a.jsonl is empty: expected rows with a question and an answer"),
        (GOOD * 6 + b"{", "a.jsonl, line 7: not JSON"),
        (b"[1]", "a.jsonl, line 1: a JSON list, expected an object"),
        (GOOD + b'{"question": "caf\xe9", "answer": 1}', "a.jsonl, line 2: not UTF-8"),
        (b'{"q": "q", "answer": 1}', "the fields are 'q', 'answer': name it with question_field"),
        (GOOD + b'{"question": " ", "answer": 1}', "line 2: the field 'question' holds ' ', expected the text"),
        (GOOD + b'\n{"question": "q", "answer": 2}', "a.jsonl, line 3: the question of"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        load_problems(str(path))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_file_of_problems(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    (tmp_path / "a.xlsx").touch()
    for name, message in (
        ("a.jsonl", "is a directory, expected a file"),
        ("a.xlsx", "a file of another kind: expected a .jsonl, .ndjson, .json, .csv, .tsv, .parquet file, hf:NAME"),
        ("", "a directory: expected a .jsonl"),
        ("b", "names nothing: expected a .jsonl"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            load_problems(str(tmp_path / name))


def test_reasoning_gym_is_an_extra():
    code = (
        "import sys; sys.modules['reasoning_gym'] = None\n"
        "from ownwords.problems.sources import load_problems\n"
        "load_problems('gym:chain_sum')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "ownwords[gym]"' in done.stderr.splitlines()[-1]


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


def test_practice_and_test_share_no_question():
    halves = [
        {p.id for seed in (1, 2) for p in load_problems(f"world:size=200,seed={seed},split={split}")}
        for split in ("practice", "test")
    ]
    assert not halves[0] & halves[1]
    both = {p.id for p in load_problems("world:size=100,seed=1")}
    assert both & halves[0] and both & halves[1]


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
    problems = load_problems(str(data / file))
    assert 0.96 * rows <= len(problems) <= rows  # questions that recur count once
    assert all(p.answer and "####" not in p.answer and "\\boxed" not in p.answer for p in problems)


def test_gsm8k_answers_are_the_numbers(data):
    assert all(p.answer.lstrip("-").replace(".", "").isdigit() for p in load_problems(str(data / "gsm8k/test.jsonl")))
